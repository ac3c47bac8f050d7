{{/* The operator's options. docs/operator.md lists them. */}}
{{- define "operator.env" -}}
- name: LOGIN_PIPELINE_PROCESSOR_IMAGE
  value: {{ include "operator.image" (dict "image" .Values.processor.image "version" .Chart.AppVersion) | quote }}
{{- with include "operator.namespaces" . | fromJsonArray }}
- name: LOGIN_PIPELINE_WATCH_NAMESPACES
  value: {{ join "," . | quote }}
{{- end }}
- name: LOGIN_PIPELINE_LEADER_ELECTION
  value: {{ .Values.leaderElection.enabled | quote }}
{{- if .Values.leaderElection.enabled }}
- name: LOGIN_PIPELINE_LEASE_NAME
  value: {{ include "operator.lease" . | quote }}
- name: LOGIN_PIPELINE_LEASE_NAMESPACE
  value: {{ .Release.Namespace | quote }}
{{- end }}
- name: LOGIN_PIPELINE_PAGE
  value: {{ .Values.page.enabled | quote }}
- name: LOGIN_PIPELINE_MEASURE_INTERVAL
  value: {{ .Values.measureInterval | quote }}
- name: LOGIN_PIPELINE_LOG_FORMAT
  value: {{ .Values.log.format | quote }}
{{- with .Values.log.level }}
- name: RUST_LOG
  value: {{ . | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}
