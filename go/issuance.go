package cachedhttp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/cached-http/caddy-cached-http/go/internal/ask"
	"github.com/cached-http/caddy-cached-http/go/internal/issuance"
)

// The permission's second half: what would become an order must not be one too many. The rules are those of
// internal/issuance, which Caddy's events tell what became of orders; permitOrder has the way of one question.

// guardOrders gets ready to be told of orders.
func (p *Permission) guardOrders(ctx caddy.Context) (err error) {
	if p.orders, err = issuance.Open(); err != nil {
		return err
	}
	p.claim = p.orders.Claim(issuance.Limits{
		Cooldown: max(0, time.Duration(p.Cooldown)), MaxOrders: p.MaxOrders, MaxOrdersPerDomain: p.MaxOrdersPerDomain,
	})
	// A scan must not fill the log.
	p.ordersLogger = ctx.Logger().WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, 10*time.Second, 1, 0)
	}))
	if p.tlsApp == nil {
		return nil
	}
	p.storage = ctx.Storage()
	if err := registerMetrics(ctx.GetMetricsRegistry()); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	events, err := ctx.AppIfConfigured("events")
	if err != nil {
		return err
	}
	for _, name := range []string{eventObtaining, eventObtained, eventFailed} {
		if err := events.(*caddyevents.App).On(name, orderHandler{p.orders, p.fleet()}); err != nil {
			return err
		}
	}
	return endRetries(ctx, p.tlsApp, p.orders)
}

// permitOrder returns nil if Caddy may have a certificate for the name, by an order if there is none in its storage.
// Of a name that would be refused anyway, nobody is asked.
func (p *Permission) permitOrder(ctx context.Context, name string, decide func() error) error {
	if p.isInternal(name) {
		return decide()
	}
	key := issuance.NormalName(name)
	refusal, state := p.orders.Check(key), notStored
	if refusal != nil {
		p.fleet().relearn(key)
		if state = p.lookUp(ctx, name); state == notStored {
			return p.refused(name, refusal)
		}
	}
	if err := decide(); err != nil {
		return err
	}
	if refusal == nil {
		state = p.lookUp(ctx, name)
	}
	if state == isStored {
		return nil // loaded, or renewed in time: no order that a scanner could have caused
	}
	err := p.pointsHere(name)
	switch {
	case state == maybeStored:
		return p.refused(name, p.orders.PermitUnsure(key, err))
	case err != nil:
		return p.refused(name, err)
	}
	p.fleet().learn(key)
	return p.refused(name, p.orders.Permit(ctx, key))
}

// pointsHere asks the DNS, if there is resolves_to.
func (p *Permission) pointsHere(name string) error {
	if p.dns == nil {
		return nil
	}
	err := p.dns.Allowed(name)
	if errors.Is(err, ask.ErrDenied) {
		return &issuance.Refusal{Rule: issuance.RuleResolvesTo, Reason: err.Error()}
	}
	return err
}

// refused counts a refusal, and makes a denial of it. Any other error stays one.
func (p *Permission) refused(name string, err error) error {
	refusal, isRefusal := errors.AsType[*issuance.Refusal](err)
	if !isRefusal {
		return err
	}
	p.orders.CountRefusal(refusal.Rule)
	p.ordersLogger.Info("no certificate is ordered for a name, by the rule "+string(refusal.Rule)+
		"; this is told once in 10 s for each rule, and counted in metrics",
		zap.String("server_name", cappedName(name)), zap.String("rule", string(refusal.Rule)), zap.Error(refusal))
	return fmt.Errorf("%w: %w", caddytls.ErrPermissionDenied, refusal)
}
