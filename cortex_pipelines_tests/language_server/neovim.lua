-- Neovim without a screen, on the file of its command line: waits for findings, mends one, takes a completion,
-- saves. Writes what it saw to $SEEN as JSON. Needs Neovim 0.7 or later.
local seen = { messages = {} }
vim.lsp.handlers["window/showMessage"] = function(_, result) table.insert(seen.messages, result.message) end
local config = { name = "cortex", cmd = { "cortex", "lsp" }, root_dir = vim.fn.getcwd(), init_options = { gateway = vim.env.GATEWAY } }
if vim.lsp.start then
  vim.lsp.start(config)
else
  vim.lsp.buf_attach_client(0, vim.lsp.start_client(config))
end

local function codes()
  return vim.tbl_map(function(each) return each.code end, vim.diagnostic.get(0))
end
local function ask(method, params)
  local answers, problem = vim.lsp.buf_request_sync(0, method, params, 30000)
  assert(answers, problem)
  local _, answer = next(answers)
  return answer.result
end

vim.wait(60000, function() return #vim.diagnostic.get(0) > 0 end)
seen.before = codes()

local found = vim.diagnostic.get(0)[1]
local range = { start = { line = found.lnum, character = found.col }, ["end"] = { line = found.lnum, character = found.col } }
local file = vim.lsp.util.make_text_document_params(0)
local actions = ask("textDocument/codeAction", { textDocument = file, range = range, context = { diagnostics = {} } })
seen.actions = vim.tbl_map(function(each) return each.title end, actions)
vim.lsp.util.apply_workspace_edit(actions[1].edit, "utf-16")
vim.wait(60000, function() return #vim.diagnostic.get(0) < #seen.before end)
seen.after = codes()

-- the last line, in which a completion continues what is typed
vim.api.nvim_buf_set_lines(0, -1, -1, false, { "'😀'; prin" })
vim.api.nvim_win_set_cursor(0, { vim.api.nvim_buf_line_count(0), 12 })
local position = { line = vim.api.nvim_buf_line_count(0) - 1, character = 10 }
local list = ask("textDocument/completion", { textDocument = file, position = position })
vim.lsp.util.apply_text_edits({ list.items[1].textEdit }, vim.api.nvim_get_current_buf(), "utf-16")
vim.cmd("write")

local name = vim.env.SEEN
local out = assert(io.open(name, "w"))
out:write(vim.fn.json_encode(seen))
out:close()
vim.cmd("qall!") -- Neovim then says shutdown and exit
