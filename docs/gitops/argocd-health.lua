-- Health of a VMImage for Argo CD, from its conditions: Healthy, Progressing, Degraded, Suspended.
-- Put it into argocd-cm under resource.customizations.health.vmimage.dev_VMImage.
local function health(status, message)
  return { status = status, message = message or "" }
end

local status = obj.status or {}
if status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "waiting for the operator to see this generation")
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local stalled, ready = conditions.Stalled, conditions.Ready

if stalled and stalled.status == "True" then
  return health("Degraded", stalled.message)
end
if ready and ready.reason == "Suspended" then
  return health("Suspended", ready.message)
end
if ready and ready.status == "True" then
  return health("Healthy", ready.message)
end
return health("Progressing", ready and ready.message)
