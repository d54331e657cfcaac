package notify

import (
	"maps"
	"slices"
)

// words is one language of a template. {name} stands for a parameter.
type words struct{ subject, text string }

type template struct{ zh, en words }

// templates holds every topic with the words for it. The number, where the
// parameters have one, is put in front and the link at the end by render.
var templates = map[string]template{
	// To the technical department. {cause} the root cause host, {hosts} how many are hit.
	"incident.opened": {
		words{"故障：{cause}", "{cause} 出现故障，受牵连 {hosts} 台。请查看证据并跟进处理。"},
		words{"Incident: {cause}", "{cause} is down; {hosts} more hosts are suppressed. See the evidence and follow the repair."}},
	"incident.closed": {
		words{"故障恢复：{cause}", "{cause} 已恢复，故障关闭，历时 {duration}。"},
		words{"Recovered: {cause}", "{cause} is back; the incident is closed after {duration}."}},

	// {what} ends, {left} says how soon, in both languages.
	"check.warned": {
		words{"即将到期：{what}", "{what}：{left}。现在还没有故障，请在到期前处理。"},
		words{"Ends soon: {what}", "{what}: {left}. Nothing has failed yet."}},

	// To the reporter of a repair. {what} the kind of thing, {state} in both languages.
	"repair.received": {
		words{"报修已收到", "你的报修（{what}）已收到，我们会尽快安排。凭链接可随时查看进度。"},
		words{"Repair request received", "Your repair request ({what}) is in. Follow it by the link at any time."}},
	"repair.assigned": {
		words{"报修已安排", "你的报修（{what}）已有技术员接手处理。"},
		words{"Your repair is in hand", "A technician has taken your repair ({what})."}},
	"repair.status": {
		words{"报修进度：{state}", "你的报修（{what}）现在是：{state}。"},
		words{"Repair: {state}", "Your repair ({what}) is now: {state}."}},
	"repair.fixed": {
		words{"报修已修好", "你的报修（{what}）已修好。如有设备在我处，请凭取件码领取；没修好可以在链接里重新打开。"},
		words{"Repaired", "Your repair ({what}) is done. If we hold your device, collect it with the pick-up code; reopen it by the link if it is not right."}},
	"repair.unfixable": {
		words{"报修未能修好", "很抱歉，你的报修（{what}）没能修好，原因见链接。如有设备在我处，请凭取件码领取。"},
		words{"Could not be repaired", "Sorry, your repair ({what}) could not be done; the link says why. If we hold your device, collect it with the pick-up code."}},
	"repair.recovered": {
		words{"网络已恢复", "你报修的网络故障已恢复，报修单自动关闭。仍有问题请在链接里重新打开。"},
		words{"The network is back", "The fault you reported has recovered and the ticket was closed. Reopen it by the link if it is still wrong."}},
	"repair.cancelled": {
		words{"报修已取消", "你的报修（{what}）已取消，原因见链接。"},
		words{"Repair cancelled", "Your repair ({what}) was cancelled; the link says why."}},
	// To technicians and the head. {until} the deadline, local time.
	"repair.offered": {
		words{"新报修等你接单", "有一张报修单（{what}）派给你，请在 {until} 前接单或婉拒。"},
		words{"A repair is offered to you", "A repair ({what}) is offered to you. Accept or decline before {until}."}},
	"repair.unassigned": {
		words{"报修无人可派", "报修单（{what}）暂时没有合适的人，请指派或调整要求。"},
		words{"Nobody to repair it", "Nobody fits the repair ({what}) now. Assign somebody or change what it needs."}},

	// Approvals. {title} of the request, {step} and {until}.
	"workflow.task": {
		words{"待你审批：{title}", "《{title}》到了你这一步（{step}），请在 {until} 前处理。"},
		words{"Waiting for you: {title}", "“{title}” has reached you ({step}). Decide before {until}."}},
	"workflow.nudge": {
		words{"催办：{title}", "《{title}》正等你处理（{step}），期限 {until}。"},
		words{"A nudge: {title}", "“{title}” still waits for you ({step}), due {until}."}},
	"workflow.deadline": {
		words{"审批将到期：{title}", "《{title}》（{step}）将于 {until} 到期。"},
		words{"Due soon: {title}", "“{title}” ({step}) is due {until}."}},
	"workflow.approved": {
		words{"申请已通过：{title}", "你的申请《{title}》已全部通过。"},
		words{"Approved: {title}", "Your request “{title}” is approved."}},
	"workflow.rejected": {
		words{"申请未通过：{title}", "你的申请《{title}》未获同意，意见见链接。"},
		words{"Rejected: {title}", "Your request “{title}” was rejected; the link has the reasons."}},
	"workflow.returned": {
		words{"申请退回修改：{title}", "你的申请《{title}》被退回修改，意见见链接，改好后重新提交。"},
		words{"Sent back: {title}", "Your request “{title}” was sent back; see the remarks, change it and submit again."}},
	"workflow.vote_lapsed": {
		words{"表单已改，请重新审：{title}", "《{title}》中你审过的内容已修改，你先前的意见失效，请看改动后重新处理。"},
		words{"Changed after your vote: {title}", "What you decided on in “{title}” has changed, so your vote lapsed. See the changes and decide again."}},
	"workflow.withdrawn": {
		words{"申请已撤回：{title}", "《{title}》已由申请人撤回，不用再处理。"},
		words{"Withdrawn: {title}", "“{title}” was withdrawn; nothing is left to do."}},
	"workflow.stopped": {
		words{"已叫停：{title}", "《{title}》已被叫停，相关预约已释放。"},
		words{"Stopped: {title}", "“{title}” was stopped and its reservations released."}},
	"workflow.moved": {
		words{"期限有调整：{title}", "《{title}》的办理期限按新的校历或放假安排调整为 {until}。"},
		words{"Another due time: {title}", "By the new calendar or holidays “{title}” is now due {until}."}},
	"workflow.expired": {
		words{"申请已过期：{title}", "《{title}》到期日前没有办完，已自动关闭，无需再处理；仍要办理请重新申请。"},
		words{"Expired: {title}", "“{title}” was not decided by the day it was for and is closed; nothing is left to do. Ask again if it is still wanted."}},
	"workflow.owed": {
		words{"该结项了：{title}", "《{title}》结束后请按时提交结项材料。"},
		words{"Close it out: {title}", "Hand in the report on “{title}” in time."}},
	"workflow.owes": {
		words{"结项逾期：{title}", "《{title}》的结项材料逾期未交；补交前不能再申请同类事项。"},
		words{"Report overdue: {title}", "The report on “{title}” is overdue. Until it is in, no further request of the kind can be made."}},
	"workflow.cc": {
		words{"抄送：{title}", "《{title}》抄送给你，无需处理。"},
		words{"For your information: {title}", "“{title}” is copied to you; nothing to do."}},
	"workflow.paper": {
		words{"代录意见：{title}", "办公室已按纸质审批表为你录入《{title}》的意见。如有不符，请在 3 个工作日内提出。"},
		words{"Entered for you: {title}", "The office entered your decision on “{title}” from paper. Object within 3 working days if it is wrong."}},

	// To the seat of a standing order, by its {title}.
	"workflow.recurring": {
		words{"到期待交：{title}", "定期申请《{title}》这一期（{until}）该交了，草稿已备好，补全后提交。"},
		words{"Due again: {title}", "“{title}” is due again ({until}). A draft waits: complete it and send it."}},

	// To who keeps a workflow. {title} of it, {what} is wrong, in both languages.
	"workflow.unstaffed": {
		words{"流程缺人：{title}", "《{title}》现在办不下去：{what}。请补上岗位，或修改流程。"},
		words{"A workflow lacks people: {title}", "“{title}” cannot be completed now: {what}. Fill the seat or change the workflow."}},

	// To the requester. {what} is the reason, in both languages.
	"workflow.undone": {
		words{"已通过，但没有生效：{title}", "你的《{title}》（{number}）已通过，但没有生效：{what}。"},
		words{"Approved, but not carried out: {title}", "“{title}” ({number}) was approved, but could not be carried out: {what}."}},
	// To the technical head. {count} of what is wrong with it.
	"workflow.mismatch": {
		words{"审批记录对不上", "一份申请的记录与它的事件链不一致（{count} 处）。请在服务器上运行 kelian doctor 和 kelian workflow verify，先不要改动数据库。"},
		words{"A request does not add up", "A request is not what its chain of events says ({count} differences). Run kelian doctor and kelian workflow verify on the server, and leave the database as it is until then."}},

	// Purchases. {total} in yuan.
	"purchase.approved": {
		words{"采购待出资", "采购已获批，金额 {total} 元，等待出资。"},
		words{"A purchase needs money", "A purchase of {total} yuan is approved and waits for money."}},
	"purchase.funded": {
		words{"采购已出资", "采购款 {total} 元已到位，可以下单。"},
		words{"A purchase is funded", "The {total} yuan are there; the purchase can be ordered."}},
	"purchase.ordered": {
		words{"采购已下单", "采购已下单，到货后会再通知你。"},
		words{"Ordered", "The purchase is ordered; you will hear when it arrives."}},
	"purchase.arrived": {
		words{"采购已到货", "采购的物品已到货，可到办公室领取。"},
		words{"Arrived", "What was purchased has arrived and waits at the office."}},
	"purchase.cancelled": {
		words{"采购已取消", "采购已取消，原因见链接。"},
		words{"Purchase cancelled", "The purchase was cancelled; the link says why."}},

	// Reservations. {place}, {from}.
	"reservation.clash": {
		words{"预约冲突：{place}", "已批准的申请要用 {place}（{from}），但该时段已被占用，请协调时间或场地。"},
		words{"A clash: {place}", "The approved request needs {place} from {from}, but it is taken. Find another time or place."}},

	// Sponsors. {organisation} is a company, not a person; {amount} in yuan.
	"pledge.received": {
		words{"赞助到账：{organisation}", "{organisation} 的赞助 {amount} 元已到账，可以使用。"},
		words{"Received: {organisation}", "{amount} yuan from {organisation} have been received and can be spent."}},
	"pledge.overdue": {
		words{"赞助逾期未到：{organisation}", "{organisation} 约定 {date} 到账的 {amount} 元还没有到，请联系。"},
		words{"Overdue: {organisation}", "{amount} yuan that {organisation} agreed to give by {date} have not come. Get in touch."}},
	"pledge.thanks": {
		words{"该致谢了：{organisation}", "{organisation} 的赞助已用于{use}，请履行回报并致谢。"},
		words{"Thanks owed: {organisation}", "The gift of {organisation} paid for {use}. Deliver what was promised and say thank you."}},

	// Training. {course}, {task} in both languages, {start} and {until}.
	"training.offered": {
		words{"培训任务等你确认：{course}", "培训《{course}》（{start}）的{task}任务派给你，请在 {until} 前接受、婉拒或换人。"},
		words{"A training task for you: {course}", "“{task}” for the course “{course}” ({start}) is offered to you. Accept, decline or swap before {until}."}},
	"training.unfilled": {
		words{"培训还没人接：{course}", "培训《{course}》（{start}）的{task}还没有人接受，请指派。"},
		words{"Nobody yet: {course}", "Nobody has accepted “{task}” for the course “{course}” ({start}). Assign somebody."}},
	"training.swap": {
		words{"培训换人请求：{course}", "有同事请你接替培训《{course}》（{start}）的{task}任务，请在 {until} 前答复。"},
		words{"A swap: {course}", "A colleague asks you to take “{task}” for the course “{course}” ({start}). Answer before {until}."}},

	// Accounts. {unit} in both languages, {count}.
	"account.claim": {
		words{"新成员待确认", "{unit} 有 {count} 位新成员认领了账号，等你确认。"},
		words{"Newcomers to confirm", "{count} newcomers of {unit} claimed their accounts and wait for you to confirm."}},
	"account.confirmed": {
		words{"账号已确认", "你的科联账号已由{unit}确认，可以登录了。"},
		words{"Your account is confirmed", "{unit} confirmed your account; you can sign in."}},

	// To a mailbox of the person's own. {code} is made when the letter is.
	"account.reset": {
		words{"重设密码", "有人为你的账号申请重设密码。如果是你，请在 30 分钟内打开链接；如果不是，不用理会。"},
		words{"A new password", "Somebody asked to set a new password for your account. If it was you, open the link within 30 minutes; if not, ignore this."}},
	"account.verify": {
		words{"确认邮箱", "打开链接，确认这个邮箱是你的。"},
		words{"Confirm your mailbox", "Open the link to confirm that this mailbox is yours."}},
	"account.reset_issued": {
		words{"有人为你办理了密码重设", "你的部长或办公室当面为你发出了密码重设链接。如果不是你要求的，请马上联系办公室。"},
		words{"A password reset was issued for you", "Your head or the office handed out a link to reset your password. If you did not ask for it, tell the office at once."}},
	"workflow.code": {
		words{"审批验证码", "你的审批验证码是 {code}，十分钟内有效。不要告诉别人。"},
		words{"Your code", "Your code for deciding is {code}, valid for ten minutes. Tell it to nobody."}},

	// To who set an endpoint up, and the technical head. {title} of it, {what} is wrong, in both languages.
	"webhook.disabled": {
		words{"Webhook 已停用：{title}", "Webhook 端点“{title}”已停用：{what}。修好后重新启用；已失败的投递可以重放，停用期间的事件不补发。"},
		words{"A webhook is off: {title}", "The webhook “{title}” was switched off: {what}. Mend it and switch it on; what died can be replayed, what happens meanwhile is not kept."}},

	// To the heads of units with an open to-tell list.
	"notify.untold": {
		words{"还有人等着被通知", "待通知列表里还有人没有通知到，请打电话或发微信后勾选。"},
		words{"People still to tell", "The to-tell list has people who were not told yet. Call or message them and tick them off."}},
}

// Topics lists every topic, sorted.
func Topics() []string { return slices.Sorted(maps.Keys(templates)) }
