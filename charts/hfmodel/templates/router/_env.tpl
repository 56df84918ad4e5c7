{{/* docs/rest-api.md has what each variable means. */}}
{{- define "hfmodel.router.env" -}}
{{- $router := .Values.router -}}
- name: WATCH_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
{{- with $router.apiKeys.existingSecret }}
{{- if .name }}
- name: HFMODEL_API_KEYS
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .key }}}}
{{- end }}
{{- end }}
{{- if include "hfmodel.tokenSecret" . }}
{{- /* Only that there is one: the router never gets the token. */}}
- name: HFMODEL_HUB_TOKEN
  value: present
{{- end }}
{{- with $router.corsOrigins }}
- name: HFMODEL_CORS_ORIGINS
  value: {{ join "," . | quote }}
{{- end }}
{{- with $router.defaultModel }}
- name: HFMODEL_DEFAULT_MODEL
  value: {{ . | quote }}
{{- end }}
- name: HFMODEL_HOLD_TIMEOUT
  value: {{ $router.holdTimeoutSeconds | quote }}
- name: HFMODEL_MAX_HELD_PER_MODEL
  value: {{ int64 $router.maxHeldPerModel | quote }}
- name: HFMODEL_MAX_HELD_TOTAL
  value: {{ int64 $router.maxHeldTotal | quote }}
- name: HFMODEL_MAX_CONNECTIONS
  value: {{ int64 $router.maxConnections | quote }}
- name: HFMODEL_MAX_BODY_BYTES
  value: {{ int64 $router.maxBodyBytes | quote }}
- name: HFMODEL_DRAIN_DELAY
  value: {{ int64 $router.drainDelaySeconds | quote }}
- name: HFMODEL_DRAIN_TIMEOUT
  value: {{ int64 $router.drainTimeoutSeconds | quote }}
- name: HFMODEL_ENABLE_METRICS
  value: {{ $router.metrics | quote }}
- name: HFMODEL_LOG_LEVEL
  value: {{ $router.logLevel }}
- name: HFMODEL_JSON_LOGS
  value: {{ $router.jsonLogs | quote }}
{{- end }}
