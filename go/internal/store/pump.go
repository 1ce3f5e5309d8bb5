package store

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
	engine  Engine
	entries *entries
	waiters *waiters
	backend string
	logger  func() *zap.Logger
	// useStorage may take as long as the storage does.
	useStorage func(native.Event)
	events     chan Event // for Caddy's own handlers; the pump does not wait for them

	// candidates are those confirmed whose fetch has not been reported as finished. An answer that must not be
	// stored is nowhere else.
	candidates map[native.EntryID]*tls.Certificate
}

// pauseAfterError keeps a broken engine from filling the log.
const pauseAfterError = time.Second

// run goes on until the engine is closed and has made its pending writes.
func (p *pump) run() {
	for {
		events, err := p.engine.NextEvents()
		if errors.Is(err, native.ErrClosed) {
			return
		}
		if err != nil {
			p.logger().Error("taking events from the certificate cache", zap.Error(err))
			time.Sleep(pauseAfterError)
			continue
		}
		for _, event := range events {
			p.handle(event)
		}
	}
}

func (p *pump) handle(event native.Event) {
	switch event.Kind {
	case native.EventCandidate:
		p.validateCandidate(event.Entry)
	case native.EventFinished:
		certificate := p.candidates[event.Entry]
		delete(p.candidates, event.Entry)
		if event.Status != native.StatusHit {
			certificate = nil // of a kind that this client can't use
		}
		// It is not put into entries: a name is hot when it is asked for again, and this answer may be one
		// that is not to be stored.
		answer := native.Answer{Status: event.Status, Entry: event.Entry, Reason: event.Text}
		p.waiters.wake(event.Tokens, fetchResult{answer, certificate, event.AskedBackend, event.NotModified})
		if news, isNews := eventOf(event, p.backend); isNews {
			select {
			case p.events <- news:
			default:
			}
		}
	case native.EventAnswered:
		p.waiters.wake(event.Tokens, fetchResult{answer: native.Answer{Status: event.Status, Reason: event.Text}})
	case native.EventStorage:
		go p.useStorage(event)
	case native.EventRetired:
		p.entries.drop(event.Entry)
	case native.EventLog:
		p.log(event)
	}
}

// validateCandidate confirms or rejects a candidate. An error says that the engine has no such candidate (any more), so
// that there is nothing to keep.
func (p *pump) validateCandidate(entry native.EntryID) {
	certificate, err := buildCertificate(p.engine, entry)
	if err != nil {
		_ = p.engine.RejectCandidate(entry, capped(err.Error()))
		return
	}
	if p.engine.ConfirmCandidate(entry) == nil {
		p.candidates[entry] = certificate
	}
}

var zapLevels = map[native.LogLevel]zapcore.Level{
	native.LevelDebug: zapcore.DebugLevel,
	native.LevelInfo:  zapcore.InfoLevel,
	native.LevelWarn:  zapcore.WarnLevel,
	native.LevelError: zapcore.ErrorLevel,
}

// log writes a record of the engine's: its message, and its other fields in alphabetical order.
func (p *pump) log(event native.Event) {
	level, known := zapLevels[event.Level]
	if !known {
		level = zapcore.ErrorLevel
	}
	line := p.logger().Check(level, "")
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
