package store_test

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
	"github.com/cached-http/caddy-cached-http/go/internal/store"
)

func TestLogRecords(t *testing.T) {
	_, fake, host := newLease(t)
	fake.Events <- native.Event{Kind: native.EventLog, Level: native.LevelWarn, Text: `{"message":"bad","server_name":"a.example","n":3}`}
	fake.Events <- native.Event{Kind: native.EventLog, Level: native.LevelInfo, Text: `{"message":"` + strings.Repeat("x", 5000) + `"}`}
	fake.Events <- native.Event{Kind: native.EventLog, Level: 99, Text: `not json`}
	deadline := time.Now().Add(30 * time.Second)
	for host.logs.Len() < 3 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	lines := host.logs.All()
	if len(lines) != 3 {
		t.Fatal(lines)
	}
	if fields := lines[0].ContextMap(); lines[0].Message != "bad" || lines[0].Level != zapcore.WarnLevel ||
		fields["server_name"] != "a.example" || fields["n"] != 3.0 {
		t.Error(lines[0])
	}
	if len(lines[1].Message) > store.MaxTextLength+3 {
		t.Error("an endless message")
	}
	if lines[2].Level != zapcore.ErrorLevel || !strings.Contains(lines[2].Message, "not JSON") {
		t.Error(lines[2])
	}
}
