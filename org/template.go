package org

// UnitSpec is a unit of a template, before it has an identifier.
type UnitSpec struct {
	Code    string
	Kind    UnitKind
	Parent  string // code; it stands earlier in the template
	Name    Text
	Short   Text
	College string // code of the college in charge of a society
	Seats   []SeatSpec
}

// SeatSpec is a seat of a template's unit.
type SeatSpec struct {
	Role     Role
	Title    Text
	Capacity int
}

// Template is a university's science and technology federation: the League
// Committee above it, five departments, two technical sections, the colleges'
// departments, thirteen societies, and the security office, which is asked by
// link. The university renames what it calls
// otherwise; the codes stay.
func Template() []UnitSpec {
	head := SeatSpec{Head, Text{"部长", "Head"}, 1}
	deputy := SeatSpec{Deputy, Text{"副部长", "Deputy head"}, 3}
	member := SeatSpec{Member, Text{"干事", "Officer"}, 60}
	department := func(code string, name, short Text, more ...SeatSpec) UnitSpec {
		return UnitSpec{Code: code, Kind: Department, Parent: "fed", Name: name, Short: short, Seats: append([]SeatSpec{head, deputy, member}, more...)}
	}
	office := department("office", Text{"科联办公室", "Office of the Federation"}, Text{"办公室", "Office"},
		SeatSpec{Keeper, Text{"物资管理员", "Keeper of property"}, 3})
	office.Seats[0].Title = Text{"办公室主任", "Head of office"}
	office.Seats[1].Title = Text{"办公室副主任", "Deputy head of office"}
	section := func(code string, name Text, more ...SeatSpec) UnitSpec {
		return UnitSpec{Code: code, Kind: Section, Parent: "technical", Name: name, Short: name, Seats: append([]SeatSpec{head, deputy, member}, more...)}
	}
	units := []UnitSpec{
		{Code: "league", Kind: LeagueCommittee, Name: Text{"共青团委员会", "Youth League Committee"}, Short: Text{"校团委", "League Committee"}, Seats: []SeatSpec{
			{Secretary, Text{"团委书记", "Secretary"}, 1}, {Deputy, Text{"团委副书记", "Deputy secretary"}, 4},
			{Teacher, Text{"团委老师", "Teacher"}, 12}, {Finance, Text{"团委财务", "Finance officer"}, 2}}},
		{Code: "fed", Kind: Federation, Parent: "league", Name: Text{"学生科学技术联合会", "Student Science and Technology Federation"}, Short: Text{"科联", "Federation"}, Seats: []SeatSpec{
			{Chair, Text{"主席", "Chair"}, 1}, {Vice, Text{"副主席", "Vice-chair"}, 6}}},
		office,
		department("supervision", Text{"科联监察部", "Supervision department"}, Text{"监察部", "Supervision"}),
		department("liaison", Text{"科联外联部", "External relations department"}, Text{"外联部", "External relations"}),
		department("publicity", Text{"科联宣传部", "Publicity department"}, Text{"宣传部", "Publicity"}),
		department("technical", Text{"科联技术部", "Technical department"}, Text{"技术部", "Technical"},
			SeatSpec{Trainer, Text{"培训讲师", "Trainer"}, 30}),
		section("technical.maintenance", Text{"维修部", "Maintenance"}, SeatSpec{Technician, Text{"维修技术员", "Technician"}, 60}),
		section("technical.information", Text{"信息中心", "Information centre"}, SeatSpec{Technician, Text{"网络技术员", "Network technician"}, 30}),
	}
	outside := UnitSpec{Code: "outside.security_office", Kind: Outside, Name: Text{"保卫处", "Security Office"}, Short: Text{"保卫处", "Security"},
		Seats: []SeatSpec{{Head, Text{"负责人", "Head"}, 2}}}
	return append(append(append(units, colleges()...), societies()...), outside)
}

func colleges() []UnitSpec {
	var out []UnitSpec
	for _, c := range []struct{ code, zh, en string }{
		{"cs", "计算机学院", "School of Computer Science"},
		{"ee", "电子信息学院", "School of Electronics and Information"},
		{"mech", "机械工程学院", "School of Mechanical Engineering"},
		{"science", "理学院", "School of Science"},
		{"chem", "化学与环境学院", "School of Chemistry and Environment"},
		{"life", "生命科学学院", "School of Life Sciences"},
		{"civil", "土木工程学院", "School of Civil Engineering"},
		{"business", "经济管理学院", "School of Economics and Management"},
	} {
		out = append(out, UnitSpec{Code: "college." + c.code, Kind: CollegeDepartment, Parent: "fed",
			Name: Text{c.zh + "科技创新部", "Science and innovation department, " + c.en}, Short: Text{c.zh, c.en},
			Seats: []SeatSpec{{Head, Text{"部长", "Head"}, 1}, {Deputy, Text{"副部长", "Deputy head"}, 3}, {Member, Text{"干事", "Officer"}, 60}}})
	}
	return out
}

func societies() []UnitSpec {
	var out []UnitSpec
	for _, s := range []struct{ code, zh, en, college string }{
		{"robotics", "机器人协会", "Robotics Society", "mech"},
		{"ai", "人工智能协会", "Artificial Intelligence Society", "cs"},
		{"algorithm", "程序设计协会", "Programming Society", "cs"},
		{"opensource", "开源软件协会", "Open Source Society", "cs"},
		{"security", "网络安全协会", "Network Security Society", "cs"},
		{"electronics", "电子设计协会", "Electronic Design Society", "ee"},
		{"aeromodel", "航空航天模型协会", "Aeromodelling Society", "mech"},
		{"maker", "创客与三维打印协会", "Makers and 3D Printing Society", "mech"},
		{"modeling", "数学建模协会", "Mathematical Modelling Society", "science"},
		{"astronomy", "天文爱好者协会", "Astronomy Society", "science"},
		{"chemistry", "趣味化学协会", "Chemistry Society", "chem"},
		{"biology", "生命科学协会", "Life Science Society", "life"},
		{"startup", "科技创业协会", "Technology Start-up Society", "business"},
	} {
		out = append(out, UnitSpec{Code: "society." + s.code, Kind: Society, Parent: "fed", Name: Text{s.zh, s.en}, Short: Text{s.zh, s.en},
			College: "college." + s.college,
			Seats: []SeatSpec{{Chair, Text{"会长", "President"}, 1}, {Vice, Text{"副会长", "Vice-president"}, 4},
				{Member, Text{"会员", "Member"}, 300}, {Advisor, Text{"指导老师", "Advisor"}, 3}}})
	}
	return out
}
