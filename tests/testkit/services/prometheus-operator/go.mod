// The definitions of ServiceMonitor, PodMonitor and PrometheusRule, against which the tests check the chart. Nothing of it
// is built.
module loginpipeline.dev/testkit/prometheus-operator

go 1.26.0

require github.com/prometheus-operator/prometheus-operator v0.85.0
