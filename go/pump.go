package cachedhttp

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/cached-http/caddy-cached-http/go/internal/native"
)

// pump takes an engine's events, on one goroutine: it has the last word on candidates, wakes handshakes that
// wait, drops what the engine has dropped, and logs.
type pump struct {
	engine  engine
	entries *entries
	waiters *waiters
	origin  string
	logger  func() *zap.Logger
	notices chan notice // for Caddy's own handlers; the pump does not wait for them

	// candidates are those confirmed whose fetch has not been reported as finished. An answer that must not be
	// kept is nowhere else.
	candidates map[native.EntryID]*tls.Certificate
}

// pauseAfterError keeps a broken engine from filling the log.
const pauseAfterError = time.Second

// run goes on until the engine is closed and has made its pending writes.
func (pump *pump) run() {
	for {
		events, err := pump.engine.NextEvents()
		if errors.Is(err, native.ErrClosed) {
			return
		}
		if err != nil {
			pump.logger().Error("taking events from the certificate cache", zap.Error(err))
			time.Sleep(pauseAfterError)
			continue
		}
		for _, event := range events {
			pump.handle(event)
		}
	}
}

func (pump *pump) handle(event native.Event) {
	switch event.Kind {
	case native.EventCandidate:
		pump.judge(event.Entry)
	case native.EventFinished:
		certificate := pump.candidates[event.Entry]
		delete(pump.candidates, event.Entry)
		if event.Status != native.StatusHit {
			certificate = nil // of a kind that this client can't use
		}
		// It is not put into entries: a name is hot when it is asked for again, and this answer may be one
		// that is not to be kept.
		answer := native.Answer{Status: event.Status, Entry: event.Entry, Reason: event.Text}
		pump.waiters.wake(event.Tokens, fetched{answer, certificate})
		if notice, isNews := noticeOf(event, pump.origin); isNews {
			select {
			case pump.notices <- notice:
			default:
			}
		}
	case native.EventRetired:
		pump.entries.drop(event.Entry)
	case native.EventLog:
		pump.log(event)
	}
}

// judge confirms or refuses a candidate. An error says that the engine has no such candidate (any more), so
// that there is nothing to keep.
func (pump *pump) judge(entry native.EntryID) {
	certificate, err := buildCertificate(pump.engine, entry)
	if err != nil {
		_ = pump.engine.RejectCandidate(entry, capped(err.Error()))
		return
	}
	if pump.engine.ConfirmCandidate(entry) == nil {
		pump.candidates[entry] = certificate
	}
}

var zapLevels = map[native.LogLevel]zapcore.Level{
	native.LevelDebug: zapcore.DebugLevel,
	native.LevelInfo:  zapcore.InfoLevel,
	native.LevelWarn:  zapcore.WarnLevel,
	native.LevelError: zapcore.ErrorLevel,
}

// log writes a record of the engine's: its message, and its other fields in alphabetical order.
func (pump *pump) log(event native.Event) {
	level, known := zapLevels[event.Level]
	if !known {
		level = zapcore.ErrorLevel
	}
	line := pump.logger().Check(level, "")
	if line == nil {
		return
	}
	var record map[string]any
	if err := json.Unmarshal([]byte(event.Text), &record); err != nil {
		line.Message = "a record that the certificate cache wanted to log is not JSON (a bug, please report it)"
		line.Write()
		return
	}
	line.Message = capped(fmt.Sprint(record["message"]))
	delete(record, "message")
	line.Write(fieldsOf(record)...)
}

// Limits on one log line, whatever the engine was told by the outside.
const (
	maxLogFields  = 16
	maxTextLength = 1000
)

func fieldsOf(record map[string]any) []zap.Field {
	names := make([]string, 0, len(record))
	for name := range record {
		names = append(names, name)
	}
	sort.Strings(names)
	var fields []zap.Field
	for _, name := range names[:min(len(names), maxLogFields)] {
		value := record[name]
		switch value.(type) {
		case bool, float64, nil:
		default:
			value = capped(fmt.Sprint(value))
		}
		fields = append(fields, zap.Any(capped(name), value))
	}
	return fields
}

func capped(text string) string {
	if len(text) > maxTextLength {
		return text[:maxTextLength] + "..."
	}
	return text
}
