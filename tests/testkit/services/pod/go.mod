module loginpipeline.dev/testkit/pod

go 1.26.0
