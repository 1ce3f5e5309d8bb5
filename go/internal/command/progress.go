package command

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8" // draws a bar whose total becomes known on the way, as a pipe's does
	"github.com/vbauerster/mpb/v8/decor"
)

// progress is a bar on the terminal. nil is none.
type progress struct {
	session   *session
	container *mpb.Progress
	bar       *mpb.Bar
	failures  atomic.Int64
	out       io.Writer // the session's own, without the bar
}

// newProgress shows a bar if somebody looks, and does not type the names; it disturbs no answers, and needs a terminal
// that can go back. Nobody may read the source yet.
func (s *session) newProgress(source io.Reader) *progress {
	if !isTerminal(s.notes) || os.Getenv("TERM") == "dumb" || isTerminal(source) || s.json && isTerminal(s.out) {
		return nil
	}
	p := &progress{session: s, out: s.out, container: mpb.New(mpb.WithOutput(s.notes))}
	pace := pace{begun: time.Now(), at: time.Now()}
	p.bar = p.container.AddBar(namesIn(source),
		mpb.PrependDecorators(decor.Any(func(figures decor.Statistics) string {
			return done(figures.Current, figures.Total)
		})),
		mpb.AppendDecorators(decor.Any(func(figures decor.Statistics) string {
			pace.observe(time.Now(), figures.Current)
			return pace.text(figures.Current, figures.Total, p.failures.Load())
		})))
	if isTerminal(s.out) {
		s.out = p.container // lines go above the bar
	}
	return p
}

// add counts one more name of the list.
func (p *progress) add(list *nameReader, failure bool) {
	if p == nil {
		return
	}
	if failure {
		p.failures.Add(1)
	}
	p.bar.Increment()
	if list.ended.Load() {
		p.bar.SetTotal(list.names.Load(), false)
	}
}

// end takes the bar away.
func (p *progress) end() {
	if p == nil {
		return
	}
	p.bar.Abort(true)
	p.container.Wait()
	p.session.out = p.out
}

// namesIn counts ahead in a file; 0 if that can't be done.
func namesIn(source io.Reader) int64 {
	file, ok := source.(*os.File)
	if !ok {
		return 0
	}
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return 0
	}
	start, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0
	}
	ahead := newNameReader(context.Background(), file)
	_, _ = io.Copy(io.Discard, ahead)
	if _, err := file.Seek(start, io.SeekStart); err != nil {
		return 0
	}
	return ahead.names.Load()
}

// pace is how fast it goes, over about the last ten seconds: names that are held already come in no time.
type pace struct {
	begun, at time.Time
	count     int64
	perSecond float64
}

func (p *pace) observe(now time.Time, count int64) {
	passed := now.Sub(p.at).Seconds()
	if passed < 0.1 {
		return
	}
	latest := float64(count-p.count) / passed
	p.perSecond += (latest - p.perSecond) * passed / min(now.Sub(p.begun).Seconds(), max(10, passed))
	p.at, p.count = now, count
}

func done(current, total int64) string {
	if total <= 0 {
		return names(current)
	}
	return comma(current) + " of " + names(total)
}

// text is: 512/s, 3 failed, 4 s left.
func (p *pace) text(current, total, failures int64) string {
	parts := []string{fmt.Sprintf("%.0f/s", p.perSecond)}
	if failures > 0 {
		parts = append(parts, comma(failures)+" failed")
	}
	if total > current && p.perSecond > 0 {
		left := math.Ceil(float64(total-current) / p.perSecond)
		parts = append(parts, span(time.Duration(left)*time.Second)+" left")
	}
	return strings.Join(parts, ", ")
}
