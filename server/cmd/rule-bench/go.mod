module github.com/assay-audit/assay/server/cmd/rule-bench

go 1.26.0

require (
	github.com/alecthomas/kong v1.17.0
	github.com/assay-audit/assay v0.0.0
	github.com/bradleyjkemp/sigma-go v0.6.6
)

require (
	github.com/BobuSumisu/aho-corasick v1.0.3 // indirect
	github.com/PaesslerAG/gval v1.0.0 // indirect
	github.com/PaesslerAG/jsonpath v0.1.1 // indirect
	github.com/alecthomas/participle v0.7.1 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/mod v0.42.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)

replace github.com/assay-audit/assay => ../../..
