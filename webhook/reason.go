package webhook

import "strconv"

// Why a post failed.
const (
	reasonTimeout  = "TIMEOUT"    // no connection within Timeout
	reasonConnect  = "CONNECTION" // refused, unreachable, or cut off
	reasonDNS      = "DNS"
	reasonTLS      = "TLS"
	reasonBlocked  = "BLOCKED"  // an address that posts may not go to
	reasonRedirect = "REDIRECT" // 3xx
	reasonStatus   = "STATUS"   // any other code that is not 2xx
	reasonUnknown  = "UNKNOWN"  // posted, no whole answer; it is posted again with the same id
	reasonOff      = "DISABLED" // the endpoint was switched off
)

var reasons = map[string][2]string{
	reasonTimeout:  {"15 秒内没有连上", "no connection within 15 seconds"},
	reasonConnect:  {"连接不上对方服务器", "the server cannot be reached"},
	reasonDNS:      {"域名解析失败", "the name does not resolve"},
	reasonTLS:      {"TLS 握手失败或对方证书无效", "the TLS handshake failed, or the server's certificate is not valid"},
	reasonBlocked:  {"该地址不是公网地址，也不在 KELIAN_WEBHOOK_NETS 里", "the address is not public and not inside KELIAN_WEBHOOK_NETS"},
	reasonRedirect: {"对方要求跳转；请把网址改成最终地址", "it answered with a redirect; give the address it leads to"},
	reasonStatus:   {"对方没有回 2xx", "it did not answer with 2xx"},
	Gone:           {"对方回 410，端点已停用", "it answered 410; the endpoint is switched off"},
	reasonUnknown:  {"已发出，没有完整的回应；用同一编号重发", "posted, without a whole answer; it is posted again with the same id"},
	reasonOff:      {"端点已停用", "the endpoint is switched off"},
	ByHand:         {"由管理员停用", "switched off by an administrator"},
	Failing:        {"连续 5 天没有一次成功", "five days without a success"},
}

// Explain puts a reason, of a delivery or of an endpoint that is off, into
// words; code is the answer's, 0 = none.
func Explain(reason string, code int) (zh, en string) {
	r, ok := reasons[reason]
	if !ok {
		return reason, reason
	}
	if code != 0 && (reason == reasonStatus || reason == reasonRedirect) {
		return r[0] + "（" + strconv.Itoa(code) + "）", r[1] + " (" + strconv.Itoa(code) + ")"
	}
	return r[0], r[1]
}
