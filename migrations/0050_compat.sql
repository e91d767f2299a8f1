-- The specification's functions about remediation policies.

set local search_path to alerts, public;

-- Whether the policy of this type has led to nothing for as long as its cooldown. Remediation
-- itself waits for each target by itself: see alerts.remediations.
create function alerts.check_policy_cooldown(wanted text) returns boolean
language sql stable as $$
    select coalesce(
        (select last_executed_at is null or last_executed_at + make_interval(secs => cooldown_seconds) <= now()
           from alerts.remediation_policies
          where alert_type = wanted), false)
$$;

create function alerts.update_policy_last_executed(wanted text) returns void
language sql as $$
    update alerts.remediation_policies set last_executed_at = now() where alert_type = wanted
$$;
