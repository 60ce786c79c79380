// Takes the place of the harness's runner of a Collector inside the test's own process: here it is always a child process.
package testbed

import (
	"fmt"
	"net"
	"regexp"
	"testing"
	"time"

	"go.opentelemetry.io/collector/otelcol"
)

// The receiver comes first in every configuration.
var endpoint = regexp.MustCompile(`endpoint: "?(?:http://)?([^\s"]+:\d+)`)

func Components() (otelcol.Factories, error) { return otelcol.Factories{}, nil }

func NewInProcessCollector(otelcol.Factories) OtelcolRunner {
	return &listening{OtelcolRunner: NewChildProcessCollector()}
}

// listening starts as the other does: once Start returns, the receiver takes data.
type listening struct {
	OtelcolRunner
	receiver string
}

func (l *listening) PrepareConfig(t *testing.T, config string) (func(), error) {
	if found := endpoint.FindStringSubmatch(config); found != nil {
		l.receiver = found[1]
	}
	return l.OtelcolRunner.PrepareConfig(t, config)
}

func (l *listening) Start(params StartParams) error {
	if err := l.OtelcolRunner.Start(params); err != nil {
		return err
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if connection, err := net.Dial("tcp", l.receiver); err == nil {
			return connection.Close()
		}
	}
	return fmt.Errorf("nobody listens on %q", l.receiver)
}
