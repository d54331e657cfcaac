package app

import (
	"context"
	"fmt"
	"time"

	"kelian/desk/repair"
	"kelian/internal/id"
	"kelian/org"
	"kelian/workflow"
)

// past is last year's open day, approved, held and closed out, and last term's
// repairs, closed.
func (s *seeder) past(ctx context.Context) error {
	year := s.now.AddDate(-1, 0, 20)
	s.clk.Advance(s.now.AddDate(-1, 0, 0).Add(time.Hour).Sub(s.clk.Now()))
	open, err := s.submit(ctx, "ayinuer", "supervision.activity", "society.robotics", openDay("society.robotics", "机器人开放日", year))
	if err != nil {
		return err
	}
	if err := s.decide(ctx, open, "han", s.holder["college.mech.head"], "luyuan", s.holder["supervision.head"], "liu"); err != nil {
		return err
	}
	s.clk.Advance(year.AddDate(0, 0, 3).Sub(s.clk.Now()))
	_, err = s.a.Workflow.CloseOut(ctx, s.who["ayinuer"], workflow.CloseOutInput{Request: open, IdempotencyKey: s.key(), Form: map[string]any{
		"summary": "到场同学参观了参赛机器人并动手体验，收到三十二份入会意向，场地和器材按时归还。", "people": 52, "spent": 28600}})
	if err != nil {
		return fmt.Errorf("close out: %w", err)
	}
	for i, r := range []repair.SubmitInput{
		{Kind: repair.Computer, Building: "3号楼", Room: "412", Text: "笔记本开机黑屏", Name: "陈晓东", Number: "2024020311"},
		{Kind: repair.Appliance, Building: "5号楼", Room: "218", Text: "台灯不亮", Name: "吴婷", Number: "2024031207"},
		{Kind: repair.Computer, Building: "7号楼", Room: "605", Text: "风扇很响，过热关机", Name: "马俊", Number: "2023050418"},
	} {
		s.clk.Advance(s.now.AddDate(0, -5, 2*i).Add(time.Duration(i) * time.Hour).Sub(s.clk.Now()))
		r.Contact, r.Consent, r.IdempotencyKey = repair.Contact{Kind: "qq", Value: fmt.Sprintf("1000%03d7", i)}, repair.ConsentVersion, s.key()+"-0123456789abcdef"
		if err := s.repaired(ctx, r); err != nil {
			return fmt.Errorf("past repair %d: %w", i, err)
		}
	}
	return s.drain(ctx)
}

// repaired takes a ticket through its whole life.
func (s *seeder) repaired(ctx context.Context, in repair.SubmitInput) error {
	got, err := s.a.Repair.Submit(ctx, org.Stranger("zh", "127.0.0.1"), in)
	if err != nil {
		return err
	}
	worker := s.who["linxiaoman"]
	do := func(action repair.Action) error {
		s.clk.Advance(time.Hour)
		_, err := s.a.Repair.Do(ctx, worker, action, repair.Input{Ticket: got.Ticket, IdempotencyKey: s.key()})
		if err != nil {
			return fmt.Errorf("%s: %w", action, err)
		}
		return nil
	}
	if err := do(repair.ActClaim); err != nil {
		return err
	}
	if err := do(repair.ActFix); err != nil {
		return err
	}
	s.clk.Advance(time.Hour)
	if _, err := s.a.Repair.Return(ctx, worker, repair.ReturnInput{Ticket: got.Ticket, Code: s.a.Repair.PickupCode(got.Ticket), IdempotencyKey: s.key()}); err != nil {
		return fmt.Errorf("return: %w", err)
	}
	return do(repair.ActClose)
}

// present is something waiting for every one of the cast.
func (s *seeder) present(ctx context.Context) error {
	s.clk.Advance(s.now.Add(-26 * time.Hour).Sub(s.clk.Now()))
	buyer := s.holder["publicity.member"]
	for _, p := range []struct {
		what  string
		fen   int64
		until []string // who has decided
	}{
		{"展板喷绘布", 26000, nil},
		{"快门遥控器", 18800, []string{"songlan"}},
		{"三脚架与补光灯", 72000, []string{"songlan", "hejing"}},
	} {
		r, err := s.submit(ctx, buyer, "office.property", "publicity", PartForm(p.what, p.fen, ""))
		if err != nil {
			return err
		}
		if err := s.decide(ctx, r, p.until...); err != nil {
			return err
		}
	}
	chair := s.holder["society.ai.chair"]
	for _, title := range []string{"人工智能读书会", "大模型应用讲座"} {
		r, err := s.submit(ctx, chair, "supervision.activity", "society.ai", openDay("society.ai", title, s.now.AddDate(0, 0, 16)))
		if err != nil {
			return err
		}
		until := []string{s.holder["society.ai.advisor"], s.holder["college.cs.head"]}
		if title == "大模型应用讲座" {
			until = append(until, "luyuan", s.holder["supervision.head"])
		}
		if err := s.decide(ctx, r, until...); err != nil {
			return err
		}
	}
	robot, err := s.submit(ctx, "ayinuer", "supervision.activity", "society.robotics", openDay("society.robotics", "机器人入门工作坊", s.now.AddDate(0, 0, 18)))
	if err != nil {
		return err
	}
	if err := s.sendBack(ctx, robot, "han", "请写明用电安全措施"); err != nil {
		return err
	}
	deal := map[string]any{"company": "蓝鲸书店", "kind": "goods", "amount": 80000, "returns": []any{map[string]any{"what": "活动海报署名"}}, "exclusive": false, "student_data": false}
	if _, err := s.submit(ctx, s.holder["liaison.member"], "liaison.sponsor", "liaison", deal); err != nil {
		return err
	}
	s.clk.Advance(s.now.Add(-time.Hour).Sub(s.clk.Now()))
	_, err = s.a.Repair.Submit(ctx, org.Stranger("zh", "127.0.0.1"), repair.SubmitInput{Kind: repair.Appliance, Building: "2号楼", Room: "301", Text: "电风扇不转", Name: "李雪",
		Number: "2025010822", Contact: repair.Contact{Kind: "phone", Value: "13800000001"}, Consent: repair.ConsentVersion, IdempotencyKey: s.key() + "-0123456789abcdef"})
	if err != nil {
		return err
	}
	return s.drain(ctx)
}

func openDay(host, title string, day time.Time) map[string]any {
	start := time.Date(day.Year(), day.Month(), day.Day(), 6, 0, 0, 0, time.UTC)
	return map[string]any{"host": host, "title": title, "kind": "open_day", "plan": "上午布展，下午参观和体验，傍晚收尾。",
		"start": start.Format(time.RFC3339), "end": start.Add(4 * time.Hour).Format(time.RFC3339), "place": "活动中心广场",
		"people": 45, "external": false, "budget": 30000}
}

func (s *seeder) submit(ctx context.Context, login, definition, unit string, form map[string]any) (id.ID, error) {
	out, err := s.a.Workflow.Submit(ctx, s.who[login], workflow.SubmitInput{Definition: definition, Unit: unit, Form: form, IdempotencyKey: s.key()})
	if err != nil {
		return id.Nil, fmt.Errorf("submit %s as %s: %w", definition, login, err)
	}
	return out.Request, s.drain(ctx)
}

// decide lets the logins approve, one after the other, a quarter of an hour
// apart.
func (s *seeder) decide(ctx context.Context, request id.ID, logins ...string) error {
	for _, login := range logins {
		s.clk.Advance(15 * time.Minute)
		if err := s.answer(ctx, request, login, workflow.DecideInput{Verdict: workflow.Approve, Comment: "同意"}); err != nil {
			return err
		}
	}
	return nil
}

func (s *seeder) sendBack(ctx context.Context, request id.ID, login, why string) error {
	s.clk.Advance(15 * time.Minute)
	return s.answer(ctx, request, login, workflow.DecideInput{Verdict: workflow.SendBack, Comment: why})
}

func (s *seeder) answer(ctx context.Context, request id.ID, login string, in workflow.DecideInput) error {
	view, err := s.a.Workflow.Request(ctx, s.who[login], request)
	if err != nil {
		return fmt.Errorf("%s reads %s: %w", login, request, err)
	}
	in.FormRev, in.IdempotencyKey = view.FormRev, s.key()
	if view.Mine == nil {
		return fmt.Errorf("%s is not asked about %s", login, view.Number)
	}
	in.Task = view.Mine.ID
	if _, err := s.a.Workflow.Decide(ctx, s.who[login], in); err != nil {
		return fmt.Errorf("%s decides: %w", login, err)
	}
	return s.drain(ctx)
}
