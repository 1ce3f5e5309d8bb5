package issuance

import "github.com/caddyserver/caddy/v2"

// running outlives a reload with what it remembers: there is one, whatever the configuration says.
var running = caddy.NewUsagePool()

const poolKey = "orders"

// Open returns the orders of this process. Close gives them back; the last one forgets them.
func Open() (*Orders, error) {
	pooled, _, err := running.LoadOrNew(poolKey, func() (caddy.Destructor, error) { return New(), nil })
	if err != nil {
		return nil, err
	}
	return pooled.(*Orders), nil
}

// Close gives the orders back.
func Close() error {
	_, err := running.Delete(poolKey)
	return err
}

// Running returns the orders of this process, nil if no configuration guards any.
func Running() (orders *Orders) {
	running.Range(func(_, pooled any) bool {
		orders, _ = pooled.(*Orders)
		return false
	})
	return orders
}

// Destruct has nothing to close.
func (o *Orders) Destruct() error { return nil }
