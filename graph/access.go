package graph

import (
	"context"
	"errors"
	"fmt"

	"kelian/graph/guard"
	"kelian/internal/fault"

	"github.com/vektah/gqlparser/v2/ast"
)

// public are the root fields that need no account. Whatever is not here is
// refused to strangers before its input is looked at.
var public = map[string]bool{
	"Query.units":              true,
	"Query.status":             true,
	"Query.verify":             true,
	"Query.viewer":             true, // null for strangers
	"Query.repairTicketByLink": true, // the link is the proof
	"Query.calendar":           true,
	"Mutation.submitRepair":    true,
	"Mutation.sendRepairLink":  true,
	"Mutation.signIn":          true,
	"Mutation.requestReset":    true,

	// What follows is proved by a link, too.
	"Query.accountLink":          true,
	"Mutation.actOnRepairByLink": true,
	"Mutation.eraseRepairByLink": true,
	"Mutation.resetPassword":     true,
	"Mutation.verifyMailbox":     true,
	"Mutation.claimAccount":      true,
}

// scopes say which scope of an API token a root field needs; "" = none, because
// the field judges each object by its kind. A session has all scopes.
var scopes = map[string]string{
	"Query.node": "", "Query.nodes": "",
	"Query.workflows": "workflow:read", "Query.requests": "workflow:read", "Query.inbox": "workflow:read",
	"Query.requestSheet": "workflow:read", "Query.inboxSheet": "workflow:read", "Query.incidentSheet": "netmon:read",
	"Query.forecast": "workflow:read", "Query.forecastEdit": "workflow:read", "Query.forecastPart": "workflow:read", "Query.cloneForm": "workflow:read", "Query.workflowDiagram": "workflow:read", "Query.checkWorkflow": "workflow:read", "Query.workflowInsight": "workflow:read", "Query.workflowReport": "workflow:read",
	"Query.workflowVersions": "workflow:read", "Query.workflowDiff": "workflow:read", "Query.migrationPreview": "workflow:read", "Query.workflowReplay": "workflow:read",
	"Query.recurrences": "workflow:read", "Query.recurrencePreview": "workflow:read", "Query.recurrenceDraft": "workflow:read",
	"Query.hosts": "netmon:read", "Query.checks": "netmon:read", "Query.incidents": "netmon:read",
	"Query.repairTickets": "repair:read",
	"Query.purchases":     "property:read", "Query.sealUses": "property:read",
	"Query.organisations": "sponsor:read", "Query.pledges": "sponsor:read", "Query.ledger": "sponsor:read",
	"Query.trainingTasks": "training:read",
	"Query.trace":         "trace:read",
	"Query.notifications": "notify:read", "Query.deliveries": "notify:read", "Query.toTell": "notify:read",
	"Query.people": "org:read", "Query.delegations": "org:read", "Query.absences": "org:read", "Query.rightsRequests": "org",
	"Query.pendingClaims": "auth",
	"Query.webhooks":      "webhook:read", "Query.webhookEvents": "webhook:read", "Query.webhookDeliveries": "webhook:read",

	"Mutation.signOut": "auth", "Mutation.confirmPassword": "auth", "Mutation.changePassword": "auth", "Mutation.requestVerification": "auth",
	"Mutation.createToken": "auth", "Mutation.revokeToken": "auth", "Mutation.revokeSession": "auth",
	"Mutation.issueReset": "auth", "Mutation.closeAccount": "auth", "Mutation.importRoster": "auth", "Mutation.confirmClaims": "auth",
	"Mutation.startTenure": "org", "Mutation.endTenure": "org", "Mutation.setPortfolio": "org", "Mutation.setLiaison": "org", "Mutation.setUnit": "org",
	"Mutation.delegateSeat": "org", "Mutation.endDelegation": "org", "Mutation.reportAbsence": "org", "Mutation.endAbsence": "org",
	"Mutation.addPerson": "org", "Mutation.correctPerson": "org", "Mutation.setSkill": "org", "Mutation.setFreeHours": "org", "Mutation.setCalendar": "org", "Mutation.importHolidays": "org",
	"Mutation.exportPerson": "org", "Mutation.erasePerson": "org", "Mutation.askRight": "org", "Mutation.answerRight": "org",
	"Mutation.submitRequest": "workflow", "Mutation.decideTask": "workflow", "Mutation.resubmitRequest": "workflow",
	"Mutation.withdrawRequest": "workflow", "Mutation.commentRequest": "workflow", "Mutation.publishWorkflow": "workflow", "Mutation.retireWorkflow": "workflow", "Mutation.migrateRequests": "workflow",
	"Mutation.createRecurrence": "workflow", "Mutation.updateRecurrence": "workflow", "Mutation.actOnRecurrence": "workflow",
	"Mutation.transferTask": "workflow", "Mutation.addSigners": "workflow", "Mutation.undoDecision": "workflow", "Mutation.disownDecision": "workflow",
	"Mutation.recordPaperDecision": "workflow", "Mutation.decideTasks": "workflow", "Mutation.nudgeRequest": "workflow", "Mutation.copyRequest": "workflow",
	"Mutation.resolveComment": "workflow", "Mutation.stopRequest": "workflow", "Mutation.amendRequest": "workflow", "Mutation.closeOutRequest": "workflow",
	"Mutation.createHost": "netmon", "Mutation.setMaintenance": "netmon", "Mutation.removeHost": "netmon",
	"Mutation.acknowledgeIncident": "netmon", "Mutation.pingHost": "netmon",
	"Query.hostsYaml": "netmon:read", "Mutation.upsertHosts": "netmon", "Mutation.importHosts": "netmon",
	"Query.pageChange": "netmon:read", "Mutation.updateHost": "netmon", "Mutation.removeCheck": "netmon", "Mutation.acceptPage": "netmon",
	"Mutation.triageRepair": "repair", "Mutation.assignRepair": "repair", "Mutation.actOnRepair": "repair",
	"Mutation.needPart": "repair", "Mutation.revealContact": "repair",
	"Mutation.orderPurchase": "property", "Mutation.arrivePurchase": "property", "Mutation.cancelPurchase": "property",
	"Mutation.createOrganisation": "sponsor", "Mutation.createPledge": "sponsor", "Mutation.movePledge": "sponsor",
	"Mutation.receivePledge": "sponsor", "Mutation.allocatePledge": "sponsor",
	"Mutation.actOnTrainingTask":     "training",
	"Mutation.markNotificationsRead": "notify", "Mutation.setNotificationPreferences": "notify", "Mutation.resendDelivery": "notify",
	"Mutation.revealToTell": "notify", "Mutation.markTold": "notify",
	"Mutation.createWebhook": "webhook", "Mutation.updateWebhook": "webhook", "Mutation.deleteWebhook": "webhook", "Mutation.rotateWebhookSecret": "webhook",
	"Mutation.testWebhook": "webhook", "Mutation.replayWebhookDelivery": "webhook", "Mutation.replayWebhookSince": "webhook",

	"Subscription.inboxChanged":    "workflow:read",
	"Subscription.incidentChanged": "netmon:read", "Subscription.hostStateChanged": "netmon:read",
	"Subscription.repairTicketChanged": "repair:read",
}

// kinds say the same of objects by the prefix of their identifiers.
var kinds = map[string]string{
	"unt": "org:read", "per": "org:read", "req": "workflow:read", "tsk": "workflow:read", "dec": "workflow:read", "wfv": "workflow:read",
	"inc": "netmon:read", "hst": "netmon:read", "chk": "netmon:read", "tkt": "repair:read", "asg": "repair:read", "pur": "property:read",
	"plg": "sponsor:read", "out": "sponsor:read", "trt": "training:read", "ntf": "notify:read",
}

var rootTypes = map[ast.Operation]string{ast.Query: "Query.", ast.Mutation: "Mutation.", ast.Subscription: "Subscription."}

// gate judges an operation's root fields before anything of it runs.
func gate(ctx context.Context, op guard.Operation) error {
	who := whoOf(ctx)
	for _, f := range op.Fields {
		name := rootTypes[op.Kind] + f
		if public[name] || f == "__typename" || f == "__schema" || f == "__type" {
			continue
		}
		if who.Anonymous() {
			return fault.SignIn()
		}
		if err := needScope(ctx, scopes[name]); err != nil {
			return err
		}
	}
	return nil
}

func needScope(ctx context.Context, scope string) error {
	if scope == "" || whoOf(ctx).Scope(scope) {
		return nil
	}
	return fault.Deny("token.scope", "权限范围含 "+scope+" 的访问令牌", "an access token with the scope "+scope)
}

// checkAccess refuses to start with a root field that nobody has thought about.
func checkAccess(s *ast.Schema) error {
	var errs []error
	for _, root := range []*ast.Definition{s.Query, s.Mutation, s.Subscription} {
		for _, f := range root.Fields {
			name := root.Name + "." + f.Name
			_, ok := scopes[name]
			if ok == public[name] && f.Name != "__schema" && f.Name != "__type" {
				errs = append(errs, fmt.Errorf("graph: %s is neither public nor has a scope, or both", name))
			}
		}
	}
	return errors.Join(errs...)
}
