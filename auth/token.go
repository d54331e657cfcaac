package auth

import (
	"context"
	"crypto/subtle"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
)

// TokenInfo is an API token without its secret.
type TokenInfo struct {
	ID      id.ID
	Name    string
	Hint    string // how the token begins: kel_<id>_
	Scopes  []string
	Created time.Time
	Expires time.Time
	Used    time.Time // zero = never
}

// NewToken asks for an API token. Expires zero = 90 days on.
type NewToken struct {
	Name    string
	Scopes  []string // all, <area>, or <area>:read, e.g. repair:read
	Expires time.Time
}

var scopeShape = regexp.MustCompile(`^[a-z]{2,20}(:read)?$`)

// CreateToken makes an API token of the actor and gives its secret, once. The
// password must have been asked for within ten minutes (Fresh). What the token
// may do is what its scopes and its owner's seats both allow at the time.
func (s *Service) CreateToken(ctx context.Context, actor org.Actor, info SessionInfo, in NewToken) (string, TokenInfo, error) {
	now := s.clock.Now()
	if actor.Person.IsZero() {
		return "", TokenInfo{}, fault.SignIn()
	}
	if err := Fresh(info, now); err != nil || info.Person != actor.Person {
		return "", TokenInfo{}, Fresh(SessionInfo{}, now)
	}
	return s.mint(ctx, actor, in, now)
}

// MintToken makes an API token on the command line and for the demo, where
// there is no session to ask for a password.
func (s *Service) MintToken(ctx context.Context, person id.ID, in NewToken) (string, TokenInfo, error) {
	return s.mint(ctx, org.Actor{Person: person}, in, s.clock.Now())
}

func (s *Service) mint(ctx context.Context, actor org.Actor, in NewToken, now time.Time) (string, TokenInfo, error) {
	in.Name = label(in.Name)
	if n := utf8.RuneCountInString(in.Name); n < 1 || n > 80 {
		return "", TokenInfo{}, fault.Input("name", "令牌名称为 1 到 80 个字", "a token's name has 1 to 80 characters")
	}
	scopes := slices.Compact(slices.Sorted(slices.Values(in.Scopes)))
	if len(scopes) == 0 || len(scopes) > 30 || slices.ContainsFunc(scopes, func(x string) bool { return !scopeShape.MatchString(x) }) {
		return "", TokenInfo{}, fault.Input("scopes", "请选择权限范围，例如 repair、netmon:read 或 all", "choose scopes, for example repair, netmon:read or all")
	}
	if in.Expires.IsZero() {
		in.Expires = now.Add(TokenDefault)
	}
	if !in.Expires.After(now) || in.Expires.After(now.Add(TokenMax)) {
		return "", TokenInfo{}, fault.Input("expires", "有效期最长一年", "a token is valid for at most a year")
	}
	secret := id.Secret(32)
	row := apiToken{ID: id.New(), Public: id.Secret(10), Hash: digest(secret), PersonID: actor.Person, Name: in.Name,
		Scopes: strings.Join(scopes, " "), CreatedAt: now, ExpiresAt: in.Expires.UTC().Truncate(time.Microsecond)}
	_, err := inTx(ctx, s, "auth.token.create", func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		var state AccountState
		var have int
		err := tx.NewRaw(`SELECT state, (SELECT count(*) FROM api_token WHERE person_id = ? AND expires_at > ?) FROM account WHERE person_id = ? ?`,
			actor.Person, now, actor.Person, s.db.Lock(false)).Scan(ctx, &state, &have)
		if store.NoRows(err) || err == nil && state != Active {
			return struct{}{}, fault.Missing()
		}
		if err != nil {
			return struct{}{}, err
		}
		if have >= tokensMax {
			return struct{}{}, fault.Refuse("TOO_MANY_TOKENS", "最多 20 个令牌，请先撤销不用的", "at most 20 tokens; revoke one first")
		}
		tx.Queue(s.db.Bun().NewInsert().Model(&row))
		s.record(tx, actor, "", "auth.token.create", actor.Person, map[string]any{"token": row.ID, "scopes": scopes, "expires": row.ExpiresAt}, now)
		return struct{}{}, nil
	})
	if err != nil {
		return "", TokenInfo{}, err
	}
	return "kel_" + row.Public + "_" + secret, row.info(), nil
}

func (r apiToken) info() TokenInfo {
	return TokenInfo{ID: r.ID, Name: r.Name, Hint: "kel_" + r.Public + "_", Scopes: strings.Fields(r.Scopes), Created: r.CreatedAt, Expires: r.ExpiresAt, Used: r.UsedAt}
}

// Tokens lists the actor's own API tokens, the newest first.
func (s *Service) Tokens(ctx context.Context, actor org.Actor) ([]TokenInfo, error) {
	if actor.Person.IsZero() {
		return nil, fault.SignIn()
	}
	var rows []apiToken
	err := s.db.R.NewSelect().Model(&rows).Where("person_id = ?", actor.Person).OrderExpr("created_at DESC, id DESC").Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	out := make([]TokenInfo, len(rows))
	for i, r := range rows {
		out[i] = r.info()
	}
	return out, nil
}

// RevokeToken ends one of the actor's own API tokens at once.
func (s *Service) RevokeToken(ctx context.Context, actor org.Actor, which id.ID) error {
	return s.revoke(ctx, actor, "api_token", "auth.token.revoke", which)
}

// ResolveBearer gives who an API token belongs to, with the seats held now and
// the token's scopes: one indexed read.
func (s *Service) ResolveBearer(ctx context.Context, token string) (org.Actor, SessionInfo, error) {
	parts := strings.Split(token, "_")
	if len(parts) != 3 || parts[0] != "kel" || len(parts[1]) != 16 || len(parts[2]) != 52 {
		return org.Actor{}, SessionInfo{}, fault.SignIn()
	}
	return s.resolvePublic(ctx, parts[1], digest(parts[2]))
}

func (s *Service) resolvePublic(ctx context.Context, public, hash string) (org.Actor, SessionInfo, error) {
	now := s.clock.Now()
	r, seats, err := s.read(ctx, tokenByPublic, public, now)
	if err != nil {
		return org.Actor{}, SessionInfo{}, err
	}
	if r == nil || subtle.ConstantTimeCompare([]byte(r.Hash), []byte(hash)) != 1 {
		return org.Actor{}, SessionInfo{}, fault.SignIn()
	}
	if now.Sub(r.SeenAt) >= seenEvery {
		s.touch(ctx, `UPDATE api_token SET used_at = ? WHERE id = ?`, r.ID, now)
	}
	info := r.info(hash)
	info.Token, info.public, info.Sudo = true, public, time.Time{}
	return org.Actor{Person: r.PersonID, Seats: seats, Scopes: strings.Fields(r.Scopes), Lang: r.Lang}, info, nil
}
