package netmon

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/org"
)

// resolveWithin is how long the name of a target may take to be looked up when
// it is entered.
const resolveWithin = 2 * time.Second

// vet checks the shape of a host and whether its targets are allowed, before
// the transaction: names are looked up here. The policy is asked again whenever
// a packet is sent.
func (s *Service) vet(ctx context.Context, actor org.Actor, in *HostInput) error {
	if _, err := s.may(ctx, actor, "netmon.manage"); err != nil {
		return err
	}
	if err := s.vetShape(ctx, in); err != nil {
		return err
	}
	return vetNeeds(in)
}

// vetShape is vet for whoever may, without the needs.
func (s *Service) vetShape(ctx context.Context, in *HostInput) error {
	in.NameZh, in.NameEn = strings.TrimSpace(in.NameZh), strings.TrimSpace(in.NameEn)
	if !lengthIn(in.NameZh, 1, MaxName) {
		return fault.Input("nameZh", "中文名称应有 1 到 80 个字", "the Chinese name has 1 to 80 characters")
	}
	if !lengthIn(in.NameEn, 1, MaxName) {
		return fault.Input("nameEn", "英文名称应有 1 到 80 个字符", "the English name has 1 to 80 characters")
	}
	if err := s.vetAddress(in); err != nil {
		return err
	}
	if err := vetLabels(in); err != nil {
		return err
	}
	if err := vetBuildings(in); err != nil {
		return err
	}
	if err := vetRule(in.Rule); err != nil {
		return err
	}
	if len(in.Checks) > MaxChecks {
		return fault.Input("checks", "一台设备最多 20 个检测项", "a host has at most 20 checks")
	}
	for i := range in.Checks {
		if err := s.vetCheck(ctx, &in.Checks[i]); err != nil {
			return at(err, append([]string{"checks", strconv.Itoa(i)}, pathOf(err)...)...)
		}
		for k := range i {
			if in.Checks[k].Kind == in.Checks[i].Kind && in.Checks[k].Target == in.Checks[i].Target {
				return fault.Input("checks", "同一检测项写了两次", "the same check is given twice").At("checks", strconv.Itoa(i), "target")
			}
		}
	}
	return nil
}

func lengthIn(s string, low, high int) bool {
	n := utf8.RuneCountInString(s)
	return n >= low && n <= high && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// at puts the field's path into an error for people.
func at(err error, path ...string) error {
	if f, ok := fault.As(err); ok {
		return f.At(path...)
	}
	return err
}

func pathOf(err error) []string {
	if f, ok := fault.As(err); ok && len(f.Path) > 0 {
		return f.Path
	}
	return []string{"target"}
}

// buildingKey is how buildings are compared.
func buildingKey(b string) string { return strings.ToLower(strings.TrimSpace(b)) }

func vetBuildings(in *HostInput) error {
	if len(in.Buildings) > MaxBuildings {
		return fault.Input("buildings", "一台设备最多服务 20 栋楼", "a host serves at most 20 buildings")
	}
	in.Buildings = slices.Clone(in.Buildings)
	for i, b := range in.Buildings {
		b = strings.TrimSpace(b)
		if !lengthIn(b, 1, MaxName) {
			return fault.Input("buildings", "楼名应有 1 到 80 个字", "a building's name has 1 to 80 characters").At("buildings", strconv.Itoa(i))
		}
		if slices.ContainsFunc(in.Buildings[:i], func(o string) bool { return buildingKey(o) == buildingKey(b) }) {
			return fault.Input("buildings", "同一栋楼写了两次", "the same building is given twice").At("buildings", strconv.Itoa(i))
		}
		in.Buildings[i] = b
	}
	return nil
}

// vetNeeds drops empty groups and repeated hosts within a group.
func vetNeeds(in *HostInput) error {
	var groups [][]id.ID
	for i, g := range in.Needs {
		var group []id.ID
		for _, n := range g {
			if !slices.Contains(group, n) {
				group = append(group, n)
			}
		}
		if len(group) > MaxGroups {
			return fault.Input("needs", "一组最多 16 台设备", "a group has at most 16 hosts").At("needs", strconv.Itoa(i))
		}
		if len(group) > 0 {
			groups = append(groups, group)
		}
	}
	if in.Needs = groups; len(groups) > MaxGroups {
		return fault.Input("needs", "依赖最多 16 组", "there are at most 16 groups of needs")
	}
	return nil
}

func vetRule(r Rule) error {
	for _, n := range []int{r.Losses, r.Within, r.Replies} {
		if n < 0 || n > 20 {
			return fault.Input("rule", "次数应在 1 到 20 之间", "the counts are between 1 and 20")
		}
	}
	return nil
}
