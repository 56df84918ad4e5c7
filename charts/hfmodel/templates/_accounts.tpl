{{/* root, component, name */}}
{{- define "hfmodel.roleBinding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{- include "hfmodel.metadata" . | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ include "hfmodel.fullname" .root }}-{{ .component }}
subjects:
  - kind: ServiceAccount
    name: {{ include "hfmodel.serviceAccountName" . }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}
