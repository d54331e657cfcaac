package app

import (
	"fmt"
	"strings"

	"kelian/internal/store"
	"kelian/org"
)

// cast are the people of the tour; everybody else on a seat is invented by
// extras.
type castMember struct {
	Login, Name      string
	Seats            []string
	AboutZh, AboutEn string
	LinkOnly         bool // acts by links, has no account
}

var cast = []castMember{
	{"zhouhang", "周航", []string{"technical.information.member"}, "接报修、处理网络故障、申请配件", "takes repairs, mends the network, asks for parts", false},
	{"linxiaoman", "林小满", []string{"technical.maintenance.member"}, "维修电器；现在有课", "mends appliances; is in class now", false},
	{"hejing", "何静", []string{"office.head"}, "审批采购", "decides on purchases", false},
	{"songlan", "宋岚", []string{"office.keeper"}, "查库存，看不到价格", "looks at the stock, does not see prices", false},
	{"guchen", "顾晨", []string{"fed.vice"}, "分管技术部，超过 500 元要他同意", "answers for the technical department; decides above 500 yuan", false},
	{"shenyue", "沈悦", []string{"liaison.head"}, "管赞助：把到账的钱用在采购上", "sponsors: spends received money on a purchase", false},
	{"luyuan", "陆远", []string{"supervision.member"}, "初审社团活动", "looks at societies' activities first", false},
	{"ayinuer", "阿依努尔·买买提", []string{"society.robotics.chair"}, "机器人协会会长，申请办活动", "president of the Robotics Society, asks for an activity", false},
	{"han", "韩老师", []string{"society.robotics.advisor"}, "指导老师，凭邮件里的链接审批", "the society's advisor, decides by a link in a mail", true},
	{"liu", "刘老师", []string{"league.teacher"}, "团委老师，终审社团活动", "teacher of the League Committee, decides last", false},
}

var (
	surnames = strings.Fields("王 李 张 刘 陈 杨 黄 赵 吴 徐 孙 马 朱 胡 郭 高 罗 郑 梁 谢 唐 许 冯 邓 曹 彭 曾 萧 田 董 潘 袁 蔡 蒋 余 于 杜 叶 程 魏 苏 吕 丁 任 卢 姚")
	given    = strings.Fields("子涵 雨桐 浩然 思远 欣怡 梓轩 晨曦 文博 佳琪 俊杰 诗雨 明哲 若曦 宇航 静雯 一诺 嘉豪 晓彤 天宇 梦琪 志远 雅婷 睿哲 可欣 建宇 芷若 博文 语嫣 海涛 婉清 凯文 慧敏")
)

// extras gives one person for every seat that the cast leaves empty.
func extras(template []org.UnitSpec) []castMember {
	taken := map[string]bool{}
	logins := map[string]bool{}
	for _, c := range cast {
		logins[c.Login] = true
		for _, s := range c.Seats {
			taken[s] = true
		}
	}
	var out []castMember
	for _, u := range template {
		for _, s := range u.Seats {
			seat := u.Code + "." + string(s.Role)
			if taken[seat] {
				continue
			}
			n := len(out)
			name := surnames[n%len(surnames)] + given[(n*7+n/len(surnames))%len(given)]
			login, _ := store.Pinyin(name)
			for i := 2; logins[login]; i++ {
				login = fmt.Sprintf("%s%d", strings.TrimRight(login, "0123456789"), i)
			}
			logins[login] = true
			out = append(out, castMember{Login: login, Name: name, Seats: []string{seat}})
		}
	}
	return out
}
