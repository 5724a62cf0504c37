{{/* Names, labels and values that more than one template needs. */}}

{{- define "vmimage-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "vmimage-operator.fullname" -}}
{{- $name := include "vmimage-operator.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 56 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 56 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 56 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "vmimage-operator.selector" -}}
app.kubernetes.io/name: {{ include "vmimage-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "vmimage-operator.labels" -}}
{{ include "vmimage-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "vmimage-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "vmimage-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is needed where serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* The operator's image: by digest if there is one, else by tag. */}}
{{- define "vmimage-operator.image" -}}
{{- with .Values.image }}
{{- if .digest }}
{{- printf "%s@%s" .repository .digest }}
{{- else }}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) }}
{{- end }}
{{- end }}
{{- end }}

{{/* A fraction as plain decimals: Go would print a small one as 1e-05. */}}
{{- define "vmimage-operator.fraction" -}}
{{- if kindIs "string" . }}
{{- . }}
{{- else }}
{{- regexReplaceAll "\\.?0+$" (printf "%.6f" (float64 .)) "" }}
{{- end }}
{{- end }}
