package operate

import (
	"context"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/issuance"
)

// What is remembered of failed orders belongs to no cache: one Caddy makes them, whichever backend had no certificate.

// orderFacts are nil if nothing is remembered of the name.
func (s *Service) orderFacts(name string) *issuance.Facts {
	if orders := s.orders(); orders != nil {
		return orders.Facts(issuance.NormalName(name))
	}
	return nil
}

const (
	// maxTold is of how many names the other nodes of a fleet are told at once; each costs the storage four operations.
	maxTold = 100
	// tellTimeout is for all of them.
	tellTimeout = time.Minute
)

// forgetOrders lets these names be ordered at once, nil for all, and tells a fleet so in the background. It returns how many
// of them had to wait here.
func (s *Service) forgetOrders(caches []Cache, names []string) int {
	orders := s.orders()
	switch {
	case orders == nil:
		return 0
	case names == nil:
		go tellAllForgotten(caches, orders)
		return orders.ForgetAll()
	}
	normal := make([]string, len(names))
	for i, name := range names {
		normal[i] = issuance.NormalName(name)
	}
	if len(names) <= maxTold {
		go tellForgotten(caches, orders, normal)
	}
	return orders.Forget(normal)
}

// tellAllForgotten says so once: nobody can list what nodes have told of names.
func tellAllForgotten(caches []Cache, orders *issuance.Orders) {
	ctx, cancel := context.WithTimeout(context.Background(), tellTimeout)
	defer cancel()
	for _, cache := range caches {
		if cache.IsDistributed() {
			_ = cache.ShareText(ctx, issuance.SubjectOfAll, orders.Forgetting(""))
		}
	}
}

// tellForgotten reads what a node has told of each name before, whose clock may be another.
func tellForgotten(caches []Cache, orders *issuance.Orders, names []string) {
	ctx, cancel := context.WithTimeout(context.Background(), tellTimeout)
	defer cancel()
	for _, cache := range caches {
		if !cache.IsDistributed() {
			continue
		}
		for _, name := range names {
			for _, subject := range issuance.Subjects(name) {
				if known, err := cache.SharedText(ctx, subject); err == nil && known != "" {
					_ = cache.ShareText(ctx, subject, orders.Forgetting(known)) // the others' cooldown ends by itself
				}
			}
		}
	}
}
