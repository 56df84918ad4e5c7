{{- define "hfmodel.tokenSecret" -}}
{{- $given := .Values.huggingface.existingSecret -}}
{{- if and .Values.huggingface.token $given.name -}}
{{- fail "huggingface: set token or existingSecret.name, not both" -}}
{{- end -}}
{{- if .Values.huggingface.token -}}
{{ include "hfmodel.fullname" . }}-huggingface/HF_TOKEN
{{- else if $given.name -}}
{{ $given.name }}/{{ $given.key }}
{{- end -}}
{{- end }}

{{/* fetch.extraEnv as JSON; what the operator sets itself is refused here, before anything is changed. */}}
{{- define "hfmodel.fetchEnv" -}}
{{- $names := list "HOME" "HF_TOKEN" "HF_ENDPOINT" "HF_HUB_OFFLINE" -}}
{{- range .Values.fetch.extraEnv }}
{{- if or (has .name $names) (hasPrefix "HFMODEL_CACHE_" .name) }}
{{- fail (printf "fetch.extraEnv: %s is set already, by a value for it or twice; see docs/chart-values.md" .name) }}
{{- end }}
{{- $names = append $names .name }}
{{- end -}}
{{- toJson .Values.fetch.extraEnv }}
{{- end }}

{{/* docs/operator.md has what each variable means. */}}
{{- define "hfmodel.operator.env" -}}
- name: WATCH_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: HFMODEL_RUNTIME_IMAGE
  value: {{ include "hfmodel.image" (dict "root" . "image" "runtime") }}
- name: HFMODEL_RUNTIME_GPU_IMAGE
  value: {{ include "hfmodel.image" (dict "root" . "image" "runtimeGpu") }}
- name: HFMODEL_IMAGE_PULL_POLICY
  value: {{ .Values.images.pullPolicy }}
{{- with .Values.images.pullSecrets }}
- name: HFMODEL_IMAGE_PULL_SECRETS
  value: {{ join "," . }}
{{- end }}
- name: HFMODEL_CACHE_CLAIM
  value: {{ include "hfmodel.cacheClaim" . }}
{{- with .Values.cache.limit }}
- name: HFMODEL_CACHE_LIMIT
  value: {{ . | quote }}
{{- end }}
{{- with .Values.cache.keeper }}
- name: HFMODEL_CACHE_KEEPER
  value: {{ . | quote }}
{{- end }}
{{- with include "hfmodel.tokenSecret" . }}
- name: HFMODEL_TOKEN_SECRET
  value: {{ . }}
{{- end }}
{{- with .Values.huggingface.endpoint }}
- name: HFMODEL_HUB_ENDPOINT
  value: {{ . | replace "$" "$$" | quote }}
{{- end }}
{{- if .Values.huggingface.offline }}
- name: HFMODEL_HUB_OFFLINE
  value: "true"
{{- end }}
{{- if .Values.fetch.extraEnv }}
- name: HFMODEL_FETCH_ENV
  {{- /* $(NAME) is the fetching container's to expand, not the operator's. */}}
  value: {{ include "hfmodel.fetchEnv" . | replace "$" "$$" | quote }}
{{- end }}
- name: HFMODEL_FETCH_RESOURCES
  value: {{ toJson .Values.fetch.resources | quote }}
{{- if .Values.gpuProfiles }}
- name: HFMODEL_PROFILES
  value: /etc/hfmodel/profiles.yaml
{{- end }}
- name: HFMODEL_BASE_URL
  value: {{ include "hfmodel.baseUrl" . }}
{{- with .Values.runtime.maxLoadedModels }}
- name: HFMODEL_MAX_LOADED_MODELS
  value: {{ int64 . | quote }}
{{- end }}
- name: HFMODEL_RUNTIME_PORT
  value: {{ int64 .Values.runtime.port | quote }}
- name: HFMODEL_DRAIN_DELAY
  value: {{ int64 .Values.runtime.drainDelaySeconds | quote }}
- name: HFMODEL_DRAIN_TIMEOUT
  value: {{ int64 .Values.runtime.drainTimeoutSeconds | quote }}
- name: HFMODEL_LEASE_SECONDS
  value: {{ int64 .Values.operator.leaseSeconds | quote }}
- name: HFMODEL_RESYNC_SECONDS
  value: {{ int64 .Values.operator.resyncSeconds | quote }}
- name: HFMODEL_HEARTBEAT_SECONDS
  value: {{ .Values.operator.heartbeatSeconds | quote }}
- name: HFMODEL_HEALTH_PORT
  value: "8081"
- name: HFMODEL_LOG_LEVEL
  value: {{ .Values.operator.logLevel }}
{{- end }}
