-- Health of a ModelSLO for Argo CD. Healthy means that the operator can work on it: a missed SLO is the model's news
-- and must not block a sync.
local hs = {status = "Progressing", message = "Waiting for the operator"}
if obj.spec ~= nil and obj.spec.suspend == true then
  hs.status = "Suspended"
  hs.message = "suspended"
  return hs
end
local status = obj.status
if status == nil or status.conditions == nil then
  return hs
end
if status.observedGeneration ~= nil and status.observedGeneration ~= obj.metadata.generation then
  hs.message = "Waiting for generation " .. obj.metadata.generation
  return hs
end
local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end
local stalled = conditions.Stalled
if stalled ~= nil and stalled.status == "True" then
  hs.status = "Degraded"
  hs.message = stalled.message or ""
  return hs
end
local ready = conditions.Ready
if ready == nil then
  return hs
end
hs.message = ready.message or ""
if ready.status == "True" then
  hs.status = "Healthy"
  local met = conditions.SLOMet
  if met ~= nil and met.status ~= "True" then
    hs.message = "SLO: " .. (met.reason or "") .. " " .. (met.message or "")
  end
end
return hs
