-- The record of decisions: one hash chain for each action, one Merkle tree over all.

set local search_path to audit, public;

-- `body` is the exact text that was hashed (RFC 8785); the columns before it repeat
-- parts of it for readers. `action`, `snapshot`, `actor` and `ops_action_id` are the
-- specification's words.
create table audit.ops_approval_audit (
    id            bigint generated always as identity primary key,
    xid           xid8 not null default pg_current_xact_id(),
    chain         text not null constraint chain_bounded check (length(chain) between 1 and 64),
    seq           integer not null constraint seq_counts_from_zero check (seq >= 0),
    ops_action_id uuid,
    action        text not null,
    actor         text,
    actor_email   text,
    snapshot      jsonb not null,
    body          text not null,
    prev          bytea not null constraint prev_is_sha256 check (length(prev) = 32),
    hash          bytea not null constraint hash_is_of_body
                  check (hash = sha256('molam.audit/1'::bytea || '\x00'::bytea || prev || convert_to(body, 'UTF8'))),
    created_at    timestamptz not null,
    unique (chain, seq)
);
create index audit_position on audit.ops_approval_audit (xid, id);
create index audit_action on audit.ops_approval_audit (ops_action_id, seq) where ops_action_id is not null;

-- Chains that do not belong to an action's row keep their end here.
create table audit.chain_heads (
    chain text primary key,
    seq   integer not null,
    hash  bytea not null
);

-- What the tree has taken in. An entry stands after all that were committed before it
-- was written, hence after its chain's earlier ones.
create table audit.leaves (
    position bigint primary key constraint position_counts_from_zero check (position >= 0),
    entry_id bigint not null unique references audit.ops_approval_audit (id)
);

-- The tree itself: the hash of every perfect subtree, level 0 being the leaves. A proof
-- reads a few dozen rows, however large the tree.
create table audit.nodes (
    level smallint not null,
    index bigint not null,
    hash  bytea not null constraint node_is_sha256 check (length(hash) = 32),
    primary key (level, index)
);

create table audit.checkpoints (
    size       bigint primary key constraint tree_not_empty check (size > 0),
    root       bytea not null constraint root_is_sha256 check (length(root) = 32),
    key_id     text not null,
    note       text not null,
    -- Every entry of a transaction before this one is in the tree.
    sealed_xid xid8 not null,
    signed_at  timestamptz not null default now()
);

-- Every key a checkpoint was signed with, in the form "name+hash+key"; kept for ever, so
-- that old checkpoints can be verified.
create table audit.checkpoint_keys (
    key_id     text primary key,
    public_key text not null,
    first_used timestamptz not null default now()
);

-- Personal values are in the chain as salted hashes; deleting a row here forgets the
-- value and leaves the chain valid.
create table audit.personal_values (
    digest bytea primary key,
    salt   bytea not null,
    value  text not null,
    person text not null
);
create index personal_values_person on audit.personal_values (person);

create function audit.refuse_change() returns trigger language plpgsql as $$
begin
    -- Forgetting an address is the one change: it is no part of what was hashed.
    if tg_op = 'UPDATE' and tg_table_name = 'ops_approval_audit' then
        if new.actor_email is null
           and to_jsonb(new) - 'actor_email' = to_jsonb(old) - 'actor_email' then
            return new;
        end if;
    end if;
    raise exception 'the audit record is append-only' using errcode = 'restrict_violation';
end
$$;
do $$
declare
    name text;
begin
    foreach name in array array['ops_approval_audit', 'leaves', 'nodes', 'checkpoints', 'checkpoint_keys'] loop
        execute format('create trigger append_only before update or delete on audit.%I
                        for each row execute function audit.refuse_change()', name);
        execute format('create trigger no_truncate before truncate on audit.%I
                        for each statement execute function audit.refuse_change()', name);
    end loop;
end
$$;

-- Forgets a person, as the owner of the tables: nobody else may change a row of them.
create function audit.forget(person_id text) returns bigint
    language sql security definer set search_path = audit, pg_temp as $$
    with emails as (
        update audit.ops_approval_audit
           set actor_email = null
         where actor = person_id and actor_email is not null
    ), forgotten as (
        delete from audit.personal_values where person = person_id returning 1
    )
    select count(*) from forgotten
$$;
revoke all on function audit.forget(text) from public;
create index audit_actor on audit.ops_approval_audit (actor) where actor_email is not null;

grant select, insert on audit.ops_approval_audit, audit.leaves, audit.nodes, audit.checkpoints,
                        audit.checkpoint_keys to molam_ops;
grant select, insert, update on audit.chain_heads to molam_ops;
grant select, insert on audit.personal_values to molam_ops;
grant execute on function audit.forget(text) to molam_ops;
