-- How bad an alert was when people were last told of it: being worse is told again.

set local search_path to alerts, public;

alter table alerts.alerts add column told_severity alerts.severity;
alter table alerts.alerts add constraint told_says_how_bad
    check (notified_at is null or told_severity is not null);

drop index alerts.alerts_to_tell;
create index alerts_of_group on alerts.alerts (group_key) where resolved_at is null;
create index alerts_end_to_tell on alerts.alerts (group_key)
    where resolved_at is not null and notified_at is not null and resolution_notified_at is null;
