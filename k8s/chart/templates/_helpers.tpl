{{- define "takt.labels" -}}
app.kubernetes.io/name: takt
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "takt.selector" -}}
app.kubernetes.io/name: takt
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
