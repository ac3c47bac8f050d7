{{/* The chart's name, which nameOverride replaces. */}}
{{- define "operator.chart" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The name of every object, at most as long as a label's value may be. */}}
{{- define "operator.name" -}}
{{- $chart := include "operator.chart" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $chart .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $chart | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* The labels that select the operator's pods. They never change, because a Deployment's selector is immutable. */}}
{{- define "operator.selector" -}}
app.kubernetes.io/name: {{ include "operator.chart" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The labels of an object, from (list $ more…): the chart's labels take precedence over the maps of labels that follow. */}}
{{- define "operator.labels" -}}
{{- $root := first . }}
{{- $labels := include "operator.selector" $root | fromYaml }}
{{- $_ := set $labels "app.kubernetes.io/version" $root.Chart.AppVersion }}
{{- $_ := set $labels "app.kubernetes.io/part-of" "login-pipeline" }}
{{- $_ := set $labels "app.kubernetes.io/managed-by" $root.Release.Service }}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_") }}
{{- range rest . }}
{{- $labels = merge $labels . }}
{{- end }}
{{- toYaml (merge $labels $root.Values.commonLabels) }}
{{- end }}

{{- define "operator.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "operator.name" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "operator.lease" -}}
{{- default (include "operator.name" .) .Values.leaderElection.leaseName }}
{{- end }}

{{/* An image reference, from (dict "image" the image's values, "version" the tag if they name none). */}}
{{- define "operator.image" -}}
{{- with .image.registry }}{{ . }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ default .version .image.tag }}{{ end }}
{{- end }}

{{/* The names of the watched namespaces, each once; an empty list for all namespaces. */}}
{{- define "operator.namespaces" -}}
{{- .Values.watchNamespaces | uniq | sortAlpha | toJson }}
{{- end }}

{{/* The namespace of the example in NOTES.txt: a watched one. */}}
{{- define "operator.exampleNamespace" -}}
{{- include "operator.namespaces" . | fromJsonArray | first | default "kafka" }}
{{- end }}
