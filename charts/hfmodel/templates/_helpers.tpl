{{- define "hfmodel.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* At most 50 characters: "-operator" and the like come after it. No dots, which the name of a Service cannot have. */}}
{{- define "hfmodel.fullname" -}}
{{- $name := include "hfmodel.name" . -}}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- .Values.fullnameOverride | default $full | replace "." "-" | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* What selects the pods of a component; it never changes, as no Deployment lets its selector change. */}}
{{- define "hfmodel.selector" -}}
app.kubernetes.io/name: {{ include "hfmodel.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "hfmodel.labels" -}}
{{- $root := .root -}}
{{ include "hfmodel.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: hfmodel
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Metadata of an object: root, component, name (after the release's, may be empty), annotations, labels. */}}
{{- define "hfmodel.metadata" -}}
name: {{ list (include "hfmodel.fullname" .root) .name | compact | join "-" }}
namespace: {{ .root.Release.Namespace }}
labels:
  helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
  {{- include "hfmodel.labels" . | nindent 2 }}
{{- with get . "labels" }}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with merge (dict) (get . "annotations" | default dict) .root.Values.commonAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* root, image (of .Values.images) */}}
{{- define "hfmodel.image" -}}
{{- $images := .root.Values.images -}}
{{- $image := get $images .image -}}
{{- $name := list (trimSuffix "/" $images.registry) $image.repository | compact | join "/" -}}
{{- if $image.digest -}}
{{ $name }}@{{ $image.digest }}
{{- else -}}
{{ $name }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* root, component */}}
{{- define "hfmodel.serviceAccountName" -}}
{{- $account := (get .root.Values .component).serviceAccount -}}
{{- $own := printf "%s-%s" (include "hfmodel.fullname" .root) .component -}}
{{- $account.name | default ($account.create | ternary $own "default") }}
{{- end }}

{{- define "hfmodel.cacheClaim" -}}
{{- .Values.cache.existingClaim | default (printf "%s-cache" (include "hfmodel.fullname" .)) }}
{{- end }}

{{- define "hfmodel.baseUrl" -}}
{{- $router := .Values.router -}}
{{- if .Values.baseUrl -}}
{{ .Values.baseUrl }}
{{- else if and $router.ingress.enabled $router.ingress.hosts -}}
{{ empty $router.ingress.tls | ternary "http" "https" }}://{{ first $router.ingress.hosts }}
{{- else -}}
{{- $port := int $router.service.port -}}
http://{{ include "hfmodel.fullname" . }}-router.{{ .Release.Namespace }}.svc{{ eq $port 80 | ternary "" (printf ":%d" $port) }}
{{- end -}}
{{- end }}

{{/* The variables of a container and the extraEnv of its component; root, component, own (YAML). */}}
{{- define "hfmodel.env" -}}
{{- $own := fromYamlArray .own -}}
{{- $component := .component -}}
{{- $names := list -}}
{{- range $own }}{{ $names = append $names .name }}{{ end -}}
{{- range (get .root.Values .component).extraEnv }}
{{- if has .name $names }}
{{- fail (printf "%s.extraEnv: %s is set already, by the value for it or twice; see docs/chart-values.md" $component .name) }}
{{- end }}
{{- $names = append $names .name }}
{{- $own = append $own . }}
{{- end -}}
{{- toYaml $own }}
{{- end }}

{{/* Annotations of the pods of a component: root, component, own (a dict). */}}
{{- define "hfmodel.podMetadata" -}}
{{- $values := get .root.Values .component -}}
labels: {{- include "hfmodel.labels" . | nindent 2 }}
{{- with $values.podLabels }}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with merge (dict) (get . "own" | default dict) $values.podAnnotations .root.Values.commonAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What the pods of both components have in their spec; root, component. */}}
{{- define "hfmodel.podSpec" -}}
{{- $values := get .root.Values .component -}}
serviceAccountName: {{ include "hfmodel.serviceAccountName" . }}
automountServiceAccountToken: true
# A Service named hfmodel would become HFMODEL_PORT=tcp://..., which is a setting.
enableServiceLinks: false
securityContext: {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with include "hfmodel.pullSecrets" .root }}
{{ . }}
{{- end }}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "priorityClassName" }}
{{- with get $values $key }}
{{ $key }}: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "hfmodel.pullSecrets" -}}
{{- with .Values.images.pullSecrets -}}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}
