package notify

import "strings"

// Why something was not sent, or not yet.
const (
	Duplicate  = "DUPLICATE"    // the same words to the same person minutes ago
	Muted      = "MUTED"        // switched off by the person
	NoMailbox  = "NO_MAILBOX"   // has an account and left no mailbox
	NoContact  = "NO_CONTACT"   // nothing known that a message could go to
	Erased     = "ERASED"       // the personal data were erased
	ChannelOff = "CHANNEL_OFF"  // mail is not configured here
	QuietHours = "QUIET_HOURS"  // waits for the morning
	ByHand     = "TO_TELL"      // waits on the to-tell list
	BadNumber  = "WRONG_NUMBER" // somebody called and it was wrong
	Uncertain  = "UNKNOWN"      // sent, but no answer came; it is sent again with the same id
	GaveUp     = "GAVE_UP"      // 24 h of attempts
)

var reasons = map[string][2]string{
	Duplicate:         {"同一内容刚刚已通知过本人", "the same was said to the same person minutes ago"},
	Muted:             {"本人关闭了这类通知", "the person switched this kind off"},
	NoMailbox:         {"没有留邮箱，站内信已送达", "no mailbox on file; the inbox has it"},
	NoContact:         {"没有可用的联系方式", "no contact on file"},
	Erased:            {"个人信息已删除", "the personal data were erased"},
	ChannelOff:        {"系统未配置邮件", "mail is not configured here"},
	QuietHours:        {"免打扰时段，早上再发", "quiet hours; it goes out in the morning"},
	ByHand:            {"在待通知列表，等人工告知", "on the to-tell list, waiting for somebody to call"},
	BadNumber:         {"号码有误", "the number was wrong"},
	Uncertain:         {"对方没有应答，用同一编号重发", "no answer came; it is sent again with the same id"},
	GaveUp:            {"24 小时内多次重试未成功", "24 hours of attempts failed"},
	"CONNECTION":      {"邮件服务器连接不上，稍后重试", "the mail server cannot be reached; tried again later"},
	"REFUSED_ADDRESS": {"邮箱地址无效", "the mailbox address is not valid"},
	"REFUSED_HEADER":  {"邮件标题含非法字符", "the mail's header has forbidden characters"},
	"LOGIN":           {"邮件服务器拒绝登录，请检查账号设置", "the mail server refuses our login; check the settings"},
}

// Explain puts a delivery's reason into words.
func Explain(reason string) (zh, en string) {
	if code, ok := strings.CutPrefix(reason, "SMTP_"); ok {
		return "邮件服务器拒收（" + code + "）", "the mail server refused it (" + code + ")"
	}
	if r, ok := reasons[reason]; ok {
		return r[0], r[1]
	}
	return reason, reason
}
