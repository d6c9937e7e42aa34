module famfs

go 1.25.0

require (
	github.com/edsrzf/mmap-go v1.2.0
	github.com/stretchr/testify v1.12.1
	golang.org/x/sys v0.47.0 // the newest for Go 1.25, the older of the two that are supported
)

require go.yaml.in/yaml/v3 v3.0.5 // indirect
