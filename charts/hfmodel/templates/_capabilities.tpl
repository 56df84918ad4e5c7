{{/* Not empty if the cluster has an API; root, api, since (the version that brought it). Without a cluster, `helm
template` takes every API of its own time for there, whatever --kube-version says. */}}
{{- define "hfmodel.has" -}}
{{- $old := semverCompare (printf "<%s.0-0" .since) .root.Capabilities.KubeVersion.Version -}}
{{- if and (not $old) (.root.Capabilities.APIVersions.Has .api) }}true{{ end -}}
{{- end }}

{{/* Not empty if there is a Prometheus operator, and it is to be used. */}}
{{- define "hfmodel.monitoring" -}}
{{- if and .Values.monitoring.enabled (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1") }}true{{ end -}}
{{- end }}
