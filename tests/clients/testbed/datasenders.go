// Package datasenders stands in for the harness's own: those senders speak protocols that the gateway does not, and bring
// in a thousand packages. The tests name them in their tables; none that we run starts one.
package datasenders

import (
	"context"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/open-telemetry/opentelemetry-collector-contrib/testbed/testbed"
)

// Foreign is never started.
type Foreign struct {
	testbed.MetricDataSender
	Logger any
}

func (f *Foreign) ConsumeLogs(context.Context, plog.Logs) error { return nil }

func (f *Foreign) WithStorage(string) *Foreign { return f }
func (f *Foreign) WithRetry(string) *Foreign   { return f }

func NewCRIContainerdWriter(...any) *Foreign                          { return &Foreign{} }
func NewFileLogWriter(...any) *Foreign                                { return &Foreign{} }
func NewFluentLogsForwarder(...any) *Foreign                          { return &Foreign{} }
func NewJaegerGRPCDataSender(...any) *Foreign                         { return &Foreign{} }
func NewKubernetesCRIContainerdNoAttributesOpsWriter(...any) *Foreign { return &Foreign{} }
func NewKubernetesCRIContainerdWriter(...any) *Foreign                { return &Foreign{} }
func NewKubernetesContainerParserWriter(...any) *Foreign              { return &Foreign{} }
func NewKubernetesContainerWriter(...any) *Foreign                    { return &Foreign{} }
func NewOtelarrowDataSender(...any) *Foreign                          { return &Foreign{} }
func NewPrometheusDataSender(...any) *Foreign                         { return &Foreign{} }
func NewSFxMetricDataSender(...any) *Foreign                          { return &Foreign{} }
func NewStefDataSender(...any) *Foreign                               { return &Foreign{} }
func NewTCPUDPWriter(...any) *Foreign                                 { return &Foreign{} }
func NewZipkinDataSender(...any) *Foreign                             { return &Foreign{} }

func NewLocalFileStorageExtension(...any) map[string]string { return nil }
