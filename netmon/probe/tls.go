package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"
)

// TLSResult is the outcome of one look at a certificate.
type TLSResult struct {
	State   State // Reply: valid now and for the name; Mismatch, or as for TCP
	Zh, En  string
	Addr    netip.AddrPort
	Expires time.Time // earliest end of the presented certificates; zero = none seen
	Took    time.Duration
}

// TLS connects to target ("host:port"), shakes hands as name and looks at the
// chain; name "" is the target's host. Zh and En say what is wrong with State
// Mismatch. Errors are as with TCP.
func (c *Checker) TLS(ctx context.Context, target, name string, timeout time.Duration) (TLSResult, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return TLSResult{}, err
	}
	defer leave()
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if name == "" {
		name, _, _ = net.SplitHostPort(target)
	}
	begun := time.Now()
	var h hop
	conn, err := c.dial(within, target, &h)
	r := TLSResult{Addr: h.addr}
	if err != nil {
		r.State = classify(err, h.addr.Addr())
		return r, reportable(ctx, err)
	}
	defer func() { _ = conn.Close() }()
	client := tls.Client(conn, &tls.Config{ServerName: name, RootCAs: c.roots, MinVersion: tls.VersionTLS12})
	err = client.HandshakeContext(within)
	r.Took = time.Since(begun)
	var invalid *tls.CertificateVerificationError
	switch {
	case err == nil:
		r.State, r.Expires = Reply, ends(client.ConnectionState().PeerCertificates)
	case errors.As(err, &invalid):
		r.State, r.Expires = Mismatch, ends(invalid.UnverifiedCertificates)
		r.Zh, r.En = chainWords(invalid, name)
	case within.Err() != nil:
		r.State = Lost
	default:
		r.State, r.Zh, r.En = Mismatch, "TLS 握手失败：对方不讲 TLS 1.2 以上，或中断了连接", "the TLS handshake failed: the other side does not speak TLS 1.2 or newer, or hung up"
	}
	return r, reportable(ctx, ctx.Err())
}

// chainWords says in words why a chain is not believed.
func chainWords(e *tls.CertificateVerificationError, name string) (zh, en string) {
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var unknown x509.UnknownAuthorityError
	certs := e.UnverifiedCertificates
	switch {
	case errors.As(e.Err, &host) && len(certs) > 0:
		to := strings.Join(certs[0].DNSNames, ", ")
		return "证书不是发给 " + name + " 的（它属于 " + to + "）", "the certificate was not issued for " + name + " (it is for " + to + ")"
	case errors.As(e.Err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		if time.Now().Before(invalid.Cert.NotBefore) {
			from := invalid.Cert.NotBefore.UTC().Format(time.DateOnly)
			return "证书要到 " + from + " 才生效：检查两边的时钟", "the certificate is not valid before " + from + ": check both clocks"
		}
		end := invalid.Cert.NotAfter.UTC().Format(time.DateOnly)
		return "证书已于 " + end + " 过期：请更新", "the certificate expired on " + end + ": renew it"
	case errors.As(e.Err, &unknown) && len(certs) == 1 && string(certs[0].RawIssuer) == string(certs[0].RawSubject):
		return "证书是自签名的，客户端不会信任", "the certificate is self-signed, clients will not trust it"
	case errors.As(e.Err, &unknown):
		return "证书链不完整，或签发者不受信任：请检查服务器是否发送了中间证书", "the chain is incomplete or its issuer is not trusted: check that the server sends the intermediate certificates"
	}
	return "证书无效：" + e.Err.Error(), "the certificate is not valid: " + e.Err.Error()
}
