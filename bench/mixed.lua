-- Asks for every kind of answer in turn; `sessions/` and `nodes/`, which are polled most, more often.
local paths = {
  "/api/v2/sessions/", "/api/v2/nodes/", "/api/v2/health/?ready=true", "/api/v2/sessions/?limit=10",
  "/api/v2/nodes/local/ranges/", "/api/v2/ranges/hot/", "/api/v2/sessions/", "/api/v2/nodes/",
  "/api/v2/databases/", "/api/v2/databases/postgres/tables/", "/api/v2/users/", "/api/v2/events/",
  "/metrics", "/api/v2/nodes/2/ranges/?limit=5", "/api/v2/sessions/", "/api/v2/nodes/?limit=1",
}
local place = 0

request = function()
  place = place % #paths + 1
  if place % 3 == 0 then
    wrk.headers["Accept-Encoding"] = "gzip"
  else
    wrk.headers["Accept-Encoding"] = nil
  end
  return wrk.format("GET", paths[place])
end
