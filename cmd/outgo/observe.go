package main

import "github.com/outgo/outgo/proxy"

// fieldAnomaly is the log's field for an anomaly; those of a call are package proxy's.
const fieldAnomaly = "anomaly"

// observe logs and counts one call: the canonical decision line.
func (s *sidecar) observe(l proxy.Line) {
	s.metrics.count(&l)
	proxy.LogLine(s.log, decisionLine, &l)
}
