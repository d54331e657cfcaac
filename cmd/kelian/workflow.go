package main

import (
	"context"
	"os"

	"kelian/internal/app"
	"kelian/internal/config"
)

type workflowCmd struct {
	Check  workflowCheckCmd  `cmd:"" help:"Prove definitions before they are published; needs no database."`
	Render workflowRenderCmd `cmd:"" help:"Draw a definition; needs no database."`
	Diff   workflowDiffCmd   `cmd:"" help:"Say what changes between two definitions."`
	Replay workflowReplayCmd `cmd:"" help:"Run past requests through a definition that is not published."`
	Export workflowExportCmd `cmd:"" help:"Write the published definitions to a folder."`
	Import workflowImportCmd `cmd:"" help:"Publish definitions from files."`
	Verify workflowVerifyCmd `cmd:"" help:"Check requests against their events; needs the database, not a running server."`
}

type workflowCheckCmd struct {
	Files []string `arg:"" help:"Definitions in YAML." type:"existingfile"`
	JSON  bool     `name:"json" help:"Print the reports as JSON."`
}

func (w workflowCheckCmd) Run() error { return app.CheckWorkflows(w.Files, w.JSON, os.Stdout) }

type workflowRenderCmd struct {
	File   string `arg:"" help:"A definition in YAML." type:"existingfile"`
	Format string `help:"mermaid, bpmn or svg." default:"mermaid" enum:"mermaid,bpmn,svg"`
	Lang   string `help:"zh or en." default:"zh" enum:"zh,en"`
}

func (w workflowRenderCmd) Run() error {
	return app.RenderWorkflow(w.File, w.Format, w.Lang, os.Stdout)
}

type workflowDiffCmd struct {
	From string `arg:"" help:"A file, or a published definition as key or key@version."`
	To   string `arg:"" optional:"" help:"The same. Without it, From is compared with what is published."`
	Lang string `help:"zh or en." default:"zh" enum:"zh,en"`
	JSON bool   `name:"json" help:"Print the differences as JSON."`
}

func (w workflowDiffCmd) Run(ctx context.Context, f *config.Flags) error {
	c := func() (config.Config, error) { return settings(f, false) }
	return app.DiffWorkflows(ctx, c, w.From, w.To, w.Lang == "zh", w.JSON, os.Stdout)
}

type workflowReplayCmd struct {
	File string `arg:"" help:"A definition in YAML." type:"existingfile"`
	Last int    `help:"How many of the newest requests, at most 500." default:"100"`
	As   string `help:"Sign-in name of the account under whose authority it runs." required:""`
	Lang string `help:"zh or en." default:"zh" enum:"zh,en"`
}

func (w workflowReplayCmd) Run(ctx context.Context, f *config.Flags) error {
	c, err := settings(f, false)
	if err != nil {
		return err
	}
	return app.ReplayWorkflow(ctx, c, w.As, w.File, w.Last, w.Lang == "zh", os.Stdout)
}

type workflowExportCmd struct {
	Dir string `arg:"" help:"The folder; made where it is missing."`
}

func (w workflowExportCmd) Run(ctx context.Context, f *config.Flags) error {
	c, err := settings(f, false)
	if err != nil {
		return err
	}
	return app.ExportWorkflows(ctx, c, w.Dir, os.Stdout)
}

type workflowImportCmd struct {
	Files []string `arg:"" help:"Definitions in YAML." type:"existingfile"`
	As    string   `help:"Sign-in name of the account that publishes them." required:""`
}

func (w workflowImportCmd) Run(ctx context.Context, f *config.Flags) error {
	c, err := settings(f, false)
	if err != nil {
		return err
	}
	return app.ImportWorkflows(ctx, c, w.As, w.Files, os.Stdout)
}

type workflowVerifyCmd struct {
	Requests []string `arg:"" optional:"" help:"Identifiers of requests (req_…); none = all."`
}

func (w workflowVerifyCmd) Run(ctx context.Context, f *config.Flags) error {
	c, err := settings(f, false)
	if err != nil {
		return err
	}
	return app.VerifyWorkflows(ctx, c, w.Requests, os.Stdout)
}
