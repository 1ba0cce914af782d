module modelslo.dev/tests/cluster/tools

go 1.25.0
