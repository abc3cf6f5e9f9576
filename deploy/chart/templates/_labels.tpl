{{- define "netflow.labels" -}}
app.kubernetes.io/name: netflow
app.kubernetes.io/component: agent
{{- end }}
