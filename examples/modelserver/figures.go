package main

// Figures for Prometheus: what the file system tells of itself (famfs.Stats), and what the server
// counts.

import (
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"famfs"
)

// figures serves the figures at /metrics.
func (s *server) figures() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{s})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return mux
}

// counts is what the server counts.
type counts struct {
	served, notFound, failed, bytesSent     atomic.Int64
	appeared, refreshErrors, reformatsFound atomic.Int64
	removed, replaced                       atomic.Int64
}

// figure is one figure of type T.
type figure[T any] struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(T) float64
}

func gauge[T any](name, help string, of func(T) float64) figure[T] {
	return figure[T]{prometheus.NewDesc(name, help, nil, nil), prometheus.GaugeValue, of}
}

func counter[T any](name, help string, of func(T) float64) figure[T] {
	return figure[T]{prometheus.NewDesc(name, help, nil, nil), prometheus.CounterValue, of}
}

func (f figure[T]) metric(from T) prometheus.Metric {
	return prometheus.MustNewConstMetric(f.desc, f.kind, f.of(from))
}

// ofServer are the figures of the server. They go on if the device is opened again.
var ofServer = []figure[*counts]{
	counter("modelserver_requests_total", "Requests that were answered.", func(c *counts) float64 { return float64(c.served.Load()) }),
	counter("modelserver_not_found_total", "Requests for what is not there.", func(c *counts) float64 { return float64(c.notFound.Load()) }),
	counter("modelserver_failed_total", "Requests that failed.", func(c *counts) float64 { return float64(c.failed.Load()) }),
	counter("modelserver_sent_bytes_total", "Bytes sent from the device.", func(c *counts) float64 { return float64(c.bytesSent.Load()) }),
	counter("modelserver_appeared_total", "Files and directories that appeared since the start.", func(c *counts) float64 { return float64(c.appeared.Load()) }),
	counter("modelserver_replaced_total", "Files that were replaced since the start.", func(c *counts) float64 { return float64(c.replaced.Load()) }),
	counter("modelserver_removed_total", "Files and directories that were removed since the start.", func(c *counts) float64 { return float64(c.removed.Load()) }),
	counter("modelserver_refresh_errors_total", "Times that the log could not be replayed, or the device not be opened.", func(c *counts) float64 { return float64(c.refreshErrors.Load()) }),
	counter("modelserver_reformatted_total", "Times that the device was found to be formatted anew.", func(c *counts) float64 { return float64(c.reformatsFound.Load()) }),
}

// ofDevice are the figures of the file system, since the device was opened. There are none while
// it cannot be opened. A server writes nothing, so commits and locks are left out.
var ofDevice = []figure[famfs.Stats]{
	gauge("famfs_files", "Files on the device.", func(s famfs.Stats) float64 { return float64(s.Usage.Files) }),
	gauge("famfs_file_bytes", "Bytes in files on the device.", func(s famfs.Stats) float64 { return float64(s.Usage.FileBytes) }),
	gauge("famfs_device_bytes", "Size of the file system.", func(s famfs.Stats) float64 { return float64(s.Usage.Size) }),
	gauge("famfs_free_bytes", "Bytes of the device that are free.", func(s famfs.Stats) float64 { return float64(s.Usage.Free) }),
	gauge("famfs_largest_free_bytes", "Length of the longest run of free space.", func(s famfs.Stats) float64 { return float64(s.Usage.LargestFree) }),
	gauge("famfs_fragmentation_ratio", "Share of the free space that is not in the longest run.", func(s famfs.Stats) float64 { return s.Fragmentation }),
	gauge("famfs_removed_bytes", "Bytes of removed files that are not given out again, or not yet.", func(s famfs.Stats) float64 { return float64(s.Usage.Removed) }),
	gauge("famfs_log_entries", "Entries of the log in use.", func(s famfs.Stats) float64 { return float64(s.Usage.LogUsed) }),
	gauge("famfs_log_capacity", "Entries that the log can hold.", func(s famfs.Stats) float64 { return float64(s.Usage.LogCapacity) }),
	gauge("famfs_problems", "Log entries that were passed over.", func(s famfs.Stats) float64 { return float64(s.Problems) }),
	gauge("famfs_mappings", "Mappings that are open: one for each file that is being sent.", func(s famfs.Stats) float64 { return float64(s.Mappings) }),
	gauge("famfs_mapped_bytes", "Memory that is mapped for them.", func(s famfs.Stats) float64 { return float64(s.MappedBytes) }),
	counter("famfs_replays_total", "Times that the log was looked at.", func(s famfs.Stats) float64 { return float64(s.Replays) }),
	counter("famfs_faults_total", "Faults of the device's memory that became errors.", func(s famfs.Stats) float64 { return float64(s.Faults) }),
}

// collector gives Prometheus the figures of a server and its device.
type collector struct{ s *server }

func (c collector) Describe(to chan<- *prometheus.Desc) {
	for _, f := range ofServer {
		to <- f.desc
	}
	for _, f := range ofDevice {
		to <- f.desc
	}
}

func (c collector) Collect(to chan<- prometheus.Metric) {
	for _, f := range ofServer {
		to <- f.metric(&c.s.counts)
	}
	o, done := c.s.use()
	defer done()
	if o == nil {
		return
	}
	stats := o.fsys.Stats()
	for _, f := range ofDevice {
		to <- f.metric(stats)
	}
}
