package native

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	randv2 "math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cached-http/caddy-cached-http/go/internal/testca"
)

// mutantName is what the certificates cover, so that each mutant is asked for under a name of its own.
const mutantName = "*.m.example"

// mutant is a bundle's text with something done to it.
type mutant struct {
	what string
	text []byte
}

// mutants makes them all; the same source of chance makes the same.
func mutants(t *testing.T, chance *randv2.Rand) []mutant {
	t.Helper()
	authority := testca.NewAuthority()
	var all []mutant
	for _, algorithm := range testca.Algorithms {
		issue := func() testca.Bundle {
			return authority.Issue(testca.Leaf{Names: []string{mutantName}, Algorithm: algorithm})
		}
		bundle, other := issue(), issue()
		if algorithm == testca.RSA2048 {
			for other.Key == bundle.Key {
				other = issue()
			}
		}
		add := func(what string, text []byte) { all = append(all, mutant{fmt.Sprint(algorithm, ": ", what), text}) }
		add("plain", bundle.PEM())
		cut(add, bundle.PEM())
		spell(add, bundle.PEM())
		rearrange(add, bundle, other)
		relabel(add, bundle)
		flip(add, bundle, chance)
	}
	return append(all, unusual(t)...)
}

// cut truncates at every line, and within them.
func cut(add func(string, []byte), text []byte) {
	for length := range text {
		if length%17 == 0 || length > 0 && text[length-1] == '\n' {
			add(fmt.Sprintf("cut to %d bytes", length), text[:length])
		}
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	for index := range lines {
		without := slices.Delete(slices.Clone(lines), index, index+1)
		add(fmt.Sprintf("without line %d", index), bytes.Join(without, nil))
		twice := slices.Insert(slices.Clone(lines), index, lines[index])
		add(fmt.Sprintf("line %d twice", index), bytes.Join(twice, nil))
	}
}

// spell writes the same in other ways.
func spell(add func(string, []byte), text []byte) {
	replaced := func(from, to string) []byte { return bytes.ReplaceAll(text, []byte(from), []byte(to)) }
	const mark = "\xef\xbb\xbf"
	add("CR LF", replaced("\n", "\r\n"))
	add("CR", replaced("\n", "\r"))
	add("LF CR", replaced("\n", "\n\r"))
	add("blank lines", replaced("\n", "\n\n"))
	add("trailing spaces", replaced("\n", " \t\n"))
	add("indented", append([]byte("  "), replaced("\n", "\n  ")...))
	add("no line end at the end", bytes.TrimRight(text, "\n"))
	add("no line end between blocks", replaced("-----\n-----", "----------"))
	add("mark", append([]byte(mark), text...))
	add("two marks", append([]byte(mark+mark), text...))
	add("mark within", replaced("\n-----BEGIN", "\n"+mark+"-----BEGIN"))
	add("UTF-16", []byte(strings.Join(strings.Split(string(text), ""), "\x00")))
	add("lower case", bytes.ToLower(text))
	add("lower-case labels", replaced("CERTIFICATE", "certificate"))
	add("four dashes", replaced("-----", "----"))
	add("six dashes", replaced("-----", "------"))
	add("NUL", replaced("\n", "\x00\n"))
	add("headers", replaced("-----\nM", "-----\nKey: value\n\nM"))
	add("empty", nil)
	for _, junk := range []string{"text\n", "\x00\xff\n", "-----\n", "-----BEGIN\n", "-----BEGIN X-----\n", "subject=CN = a\n", strings.Repeat("A", 70_000) + "\n"} {
		short := fmt.Sprintf("%.16q", junk)
		add(short+" before", append([]byte(junk), text...))
		add(short+" behind", append(slices.Clone(text), junk...))
		add(short+" between", replaced("-----\n-----BEGIN", "-----\n"+junk+"-----BEGIN"))
		add(short+" within", replaced("-----\nM", "-----\n"+junk+"M"))
	}
}

// rearrange drops, repeats and reorders blocks, and takes those of another bundle.
func rearrange(add func(string, []byte), bundle, other testca.Bundle) {
	blocks := blocksOf(bundle.PEM())
	blocks = append(blocks, blocksOf(other.PEM())...)
	for count := 1; count <= 4; count++ {
		for number := range power(len(blocks), count) {
			var text []byte
			for place, rest := 0, number; place < count; place, rest = place+1, rest/len(blocks) {
				text = append(text, blocks[rest%len(blocks)]...)
			}
			// All of up to three, and every seventh of the longer ones.
			if count < 4 || number%7 == 0 {
				add(fmt.Sprintf("blocks %d of %d", number, count), text)
			}
		}
	}
}

// relabel gives the key's block other labels and other content.
func relabel(add func(string, []byte), bundle testca.Bundle) {
	chain := bundle.CertificatesPEM()
	forms := map[string][]byte{"PKCS #8": testca.PKCS8(bundle.Key), "encrypted": testca.Encrypted()}
	switch bundle.Key.(type) {
	case *rsa.PrivateKey:
		forms["PKCS #1"] = testca.PKCS1(bundle.Key)
	case *ecdsa.PrivateKey:
		forms["SEC1"] = testca.SEC1(bundle.Key)
	}
	labels := []string{"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "DSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "ANY PRIVATE KEY", "OPENSSH PRIVATE KEY", "PUBLIC KEY", "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE", "EC PARAMETERS", ""}
	for form, text := range forms {
		block, _ := pem.Decode(text)
		for _, label := range labels {
			key := pem.EncodeToMemory(&pem.Block{Type: label, Bytes: block.Bytes})
			add(fmt.Sprintf("%s as %q", form, label), slices.Concat(chain, key))
			add(fmt.Sprintf("%s as %q, first", form, label), slices.Concat(key, chain))
		}
		parameters := testca.ECParameters()
		add(form+" behind EC PARAMETERS", slices.Concat(chain, parameters, text))
		add(form+" before EC PARAMETERS", slices.Concat(chain, text, parameters))
		add(form+", EC PARAMETERS first", slices.Concat(parameters, chain, text))
		encrypted := pem.Block{Type: block.Type, Bytes: block.Bytes, Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}}
		add(form+" with Proc-Type", slices.Concat(chain, pem.EncodeToMemory(&encrypted)))
		for _, extra := range []byte{0, 0x30, 0xff} {
			longer := pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: append(slices.Clone(block.Bytes), extra)})
			add(fmt.Sprintf("%s and a byte %#x", form, extra), slices.Concat(chain, longer))
		}
	}
}

// flip changes bits and bytes of what the blocks hold, and of the text.
func flip(add func(string, []byte), bundle testca.Bundle, chance *randv2.Rand) {
	parts := append(slices.Clone(bundle.Chain), must(x509.MarshalPKCS8PrivateKey(bundle.Key)))
	write := func(part int, changed []byte) (text []byte) {
		for index, der := range parts {
			label := "CERTIFICATE"
			if index == len(parts)-1 {
				label = "PRIVATE KEY"
			}
			if index == part {
				der = changed
			}
			text = append(text, pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})...)
		}
		return text
	}
	for part, der := range parts {
		for range 100 {
			place := chance.IntN(len(der))
			flipped := slices.Clone(der)
			flipped[place] ^= 1 << chance.IntN(8)
			add(fmt.Sprintf("block %d, a bit of byte %d", part, place), write(part, flipped))
			changed := slices.Clone(der)
			changed[place] = byte(chance.IntN(256)) // #nosec G115 -- it fits
			add(fmt.Sprintf("block %d, byte %d", part, place), write(part, changed))
			if chance.IntN(3) == 0 {
				add(fmt.Sprintf("block %d without byte %d", part, place), write(part, slices.Delete(slices.Clone(der), place, place+1)))
				add(fmt.Sprintf("block %d, one more at %d", part, place), write(part, slices.Insert(slices.Clone(der), place, byte(chance.IntN(256))))) // #nosec G115 -- it fits
				add(fmt.Sprintf("block %d cut to %d", part, place), write(part, der[:place]))
			}
		}
	}
	plain := bundle.PEM()
	for range 150 {
		text := slices.Clone(plain)
		text[chance.IntN(len(text))] ^= 1 << chance.IntN(8)
		add("a bit of the text", text)
	}
}

// unusual makes certificates that parse and that nobody should be served.
func unusual(t *testing.T) (all []mutant) {
	t.Helper()
	hour := func(hours int) time.Time { return time.Now().Add(time.Duration(hours) * time.Hour) }
	template := func() *x509.Certificate {
		return &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "leaf"}, DNSNames: []string{mutantName}, NotBefore: hour(-1), NotAfter: hour(1)}
	}
	add := func(what string, key crypto.Signer, change func(*x509.Certificate)) {
		certificate := template()
		change(certificate)
		der, err := x509.CreateCertificate(rand.Reader, certificate, certificate, key.Public(), key)
		if err != nil {
			t.Fatal(what, err)
		}
		all = append(all, mutant{what, testca.Bundle{Chain: [][]byte{der}, Key: key}.PEM()})
	}
	key := testca.NewKey(testca.P256)
	add("self-signed", key, func(*x509.Certificate) {})
	add("ended", key, func(c *x509.Certificate) { c.NotAfter = hour(-1); c.NotBefore = hour(-2) })
	add("not begun", key, func(c *x509.Certificate) { c.NotBefore = hour(1); c.NotAfter = hour(2) })
	add("another name", key, func(c *x509.Certificate) { c.DNSNames = []string{"n.example"} })
	add("the name's parent", key, func(c *x509.Certificate) { c.DNSNames = []string{"m.example"} })
	add("too wide", key, func(c *x509.Certificate) { c.DNSNames = []string{"*.example"} })
	add("everything", key, func(c *x509.Certificate) { c.DNSNames = []string{"*"} })
	add("a common name alone", key, func(c *x509.Certificate) { c.DNSNames = nil; c.Subject.CommonName = mutantName })
	add("an authority", key, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true })
	add("a critical extension", key, func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
	})
	add("3,000 names", key, func(c *x509.Certificate) {
		for n := range 3_000 {
			c.DNSNames = append(c.DNSNames, fmt.Sprintf("n%d.other.example", n))
		}
	})
	add("P-224", must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)), func(*x509.Certificate) {})
	add("RSA-3072", must(rsa.GenerateKey(rand.Reader, 3072)), func(*x509.Certificate) {})
	t.Setenv("GODEBUG", "rsa1024min=0")
	add("RSA-1024", must(rsa.GenerateKey(rand.Reader, 1024)), func(*x509.Certificate) {}) // #nosec G403 -- to be rejected
	return all
}

func blocksOf(text []byte) (blocks [][]byte) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		blocks = append(blocks, pem.EncodeToMemory(block))
	}
	return blocks
}

func power(base, exponent int) int {
	result := 1
	for range exponent {
		result *= base
	}
	return result
}

// must panics on what cannot fail with the arguments given here.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
