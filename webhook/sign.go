package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"kelian/internal/id"
)

// secretPrefix marks secrets for people and scanners (Standard Webhooks,
// "Signature scheme").
const secretPrefix = "whsec_"

// secret is an endpoint's in its n-th generation. It is made of the server's
// key, so that a stolen database or backup signs nothing.
func secret(key []byte, hook id.ID, generation int) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "webhook %s %d", hook, generation)
	return secretPrefix + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Sign gives the header webhook-signature: one v1 signature for each secret,
// the newest first. The secrets are as they are shown, whsec_ and base64.
func Sign(message string, at time.Time, body string, secrets ...string) (string, error) {
	var out []string
	for _, s := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, secretPrefix))
		if err != nil {
			return "", fmt.Errorf("webhook: a secret is no base64: %w", err)
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(message + "." + strconv.FormatInt(at.Unix(), 10) + "." + body))
		out = append(out, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(out, " "), nil
}

// secrets are those that sign for the endpoint at the time.
func (s *Service) secrets(h *Hook, at time.Time) []string {
	out := []string{secret(s.db.Key(), h.ID, h.Generation)}
	if h.Generation > 1 && at.Before(h.PreviousUntil) {
		out = append(out, secret(s.db.Key(), h.ID, h.Generation-1))
	}
	return out
}
