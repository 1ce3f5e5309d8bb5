package operate

import "github.com/cached-http/caddy-cached-http/go/internal/issuance"

// What is remembered of failed orders belongs to no cache: one Caddy makes them, whichever backend had no certificate.

// orderFacts are nil if nothing is remembered of the name.
func (s *Service) orderFacts(name string) *issuance.Facts {
	if orders := s.orders(); orders != nil {
		return orders.Facts(issuance.NormalName(name))
	}
	return nil
}

// forgetOrders lets these names be ordered at once, nil for all. It returns how many of them had to wait.
func (s *Service) forgetOrders(names []string) int {
	orders := s.orders()
	switch {
	case orders == nil:
		return 0
	case names == nil:
		return orders.ForgetAll()
	}
	normal := make([]string, len(names))
	for i, name := range names {
		normal[i] = issuance.NormalName(name)
	}
	return orders.Forget(normal)
}
