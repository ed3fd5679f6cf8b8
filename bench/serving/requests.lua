-- Sends the requests of a plan in turn, and prints what wrk measured as one line of JSON.
-- Requests are made before the first is sent: a table look-up is all that a request costs wrk.

local ready, at = {}, 0

function init(arguments)
  local plan = dofile(arguments[1])
  for number, path in ipairs(plan.paths) do
    ready[number] = wrk.format(plan.method, path, plan.headers, plan.bodies[number])
  end
end

function request()
  at = at % #ready + 1
  return ready[at]
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    '{"requests": %d, "micros": %d, "p50_us": %d, "p99_us": %d, "max_us": %d, "refused": %d, "broken": %d}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout
  ))
end
