// Package datareceivers stands in for the harness's own, as datasenders.go does for the senders.
package datareceivers

import "github.com/open-telemetry/opentelemetry-collector-contrib/testbed/testbed"

// Foreign is never started.
type Foreign struct {
	testbed.DataReceiver
	Logger any
}

func NewJaegerDataReceiver(...any) *Foreign     { return &Foreign{} }
func NewOtelarrowDataReceiver(...any) *Foreign  { return &Foreign{} }
func NewPrometheusDataReceiver(...any) *Foreign { return &Foreign{} }
func NewSFxMetricsDataReceiver(...any) *Foreign { return &Foreign{} }
func NewSplunkHECDataReceiver(...any) *Foreign  { return &Foreign{} }
func NewStefDataReceiver(...any) *Foreign       { return &Foreign{} }
func NewZipkinDataReceiver(...any) *Foreign     { return &Foreign{} }
