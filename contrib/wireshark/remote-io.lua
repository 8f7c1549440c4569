-- SPDX-License-Identifier: GPL-2.0-or-later
--
-- A Wireshark dissector for the remote-io protocol, version 1.
--
-- What it decodes is specified in docs/interop/remote-io.rst; a test
-- compares the tables below with net/remote-io/protocol.h.  How to use it
-- is told in docs/devel/remote-io-wireshark.rst.
--
-- It needs no port number: a connection that begins with HELLO is known by
-- it.  For one whose beginning was not captured say "Decode As", or
-- tshark -d tcp.port==7070,rio.

local rio = Proto('rio', 'remote-io')

--- Numbers of the wire

local HEADER_SIZE = 48
local MAX_MESSAGE = 135168
local MAGIC = 0x314f4952
local MAX_HOPS = 16

-- opcode = {name, scope, sender, smallest body, largest body}; the sizes
-- are those of a message whose status is OK
local VAR = MAX_MESSAGE - HEADER_SIZE
local OPS = {
    [0x01] = {'HELLO', 'LINK', 'CLIENT', 48, 558},
    [0x02] = {'HELLO_REPLY', 'LINK', 'SERVER', 48, 558},
    [0x03] = {'PING', 'LINK', 'ANY', 8, 8},
    [0x04] = {'PONG', 'LINK', 'ANY', 8, 8},
    [0x05] = {'BYE', 'LINK', 'ANY', 2, 257},
    [0x10] = {'ATTACH', 'CONTROL', 'CLIENT', 32, 1325},
    [0x11] = {'ATTACH_REPLY', 'CONTROL', 'SERVER', 96, VAR},
    [0x12] = {'RESUME', 'CONTROL', 'CLIENT', 24, 24},
    [0x13] = {'RESUME_REPLY', 'CONTROL', 'SERVER', 8, 8},
    [0x14] = {'DETACH', 'CONTROL', 'CLIENT', 0, 0},
    [0x15] = {'DETACH_REPLY', 'CONTROL', 'SERVER', 0, 0},
    [0x16] = {'ACK', 'CONTROL', 'ANY', 0, 0},
    [0x17] = {'SESSION_GONE', 'CONTROL', 'SERVER', 2, 257},
    [0x18] = {'ROUTE_TRACE', 'CONTROL', 'CLIENT', 8, VAR},
    [0x19] = {'ROUTE_TRACE_REPLY', 'CONTROL', 'SERVER', 8, VAR},
    [0x1a] = {'ANNOUNCE', 'LINK', 'SERVER', 8, VAR},
    [0x20] = {'REGION_READ', 'SEQUENCED', 'CLIENT', 16, 16},
    [0x21] = {'REGION_READ_REPLY', 'SEQUENCED', 'SERVER', 8, 8},
    [0x22] = {'REGION_WRITE', 'SEQUENCED', 'CLIENT', 24, 24},
    [0x23] = {'REGION_WRITE_REPLY', 'SEQUENCED', 'SERVER', 0, 0},
    [0x24] = {'REGION_WRITE_BATCH', 'SEQUENCED', 'CLIENT', 32, 3080},
    [0x26] = {'DOORBELL', 'SEQUENCED', 'CLIENT', 32, VAR},
    [0x27] = {'RECIPE', 'SEQUENCED', 'SERVER', 64, 448},
    [0x30] = {'IRQ_LEVEL', 'SEQUENCED', 'SERVER', 8, 8},
    [0x31] = {'IRQ_MESSAGE', 'SEQUENCED', 'SERVER', 8, 8},
    [0x40] = {'RESET', 'SEQUENCED', 'CLIENT', 8, 8},
    [0x41] = {'RESET_REPLY', 'SEQUENCED', 'SERVER', 0, 0},
    [0x50] = {'DMA_READ', 'SEQUENCED', 'SERVER', 24, VAR},
    [0x51] = {'DMA_READ_REPLY', 'SEQUENCED', 'CLIENT', 9, VAR},
    [0x52] = {'DMA_WRITE', 'SEQUENCED', 'SERVER', 25, VAR},
    [0x53] = {'DMA_WRITE_REPLY', 'SEQUENCED', 'CLIENT', 0, 0},
    [0x58] = {'MEM_TABLE', 'CONTROL', 'CLIENT', 8, VAR},
    [0x59] = {'MEM_TABLE_REPLY', 'CONTROL', 'SERVER', 0, 0},
    [0x60] = {'QUIESCE', 'SEQUENCED', 'CLIENT', 8, 8},
    [0x61] = {'QUIESCE_REPLY', 'SEQUENCED', 'SERVER', 0, 0},
    [0x62] = {'STATE_SAVE', 'CONTROL', 'CLIENT', 8, 8},
    [0x63] = {'STATE_SAVE_REPLY', 'CONTROL', 'SERVER', 8, VAR},
    [0x64] = {'STATE_LOAD', 'CONTROL', 'CLIENT', 8, VAR},
    [0x65] = {'STATE_LOAD_REPLY', 'CONTROL', 'SERVER', 0, 0},
    [0x68] = {'MOVE', 'CONTROL', 'CLIENT', 12, 522},
    [0x69] = {'MOVE_REPLY', 'CONTROL', 'SERVER', 24, 24},
    [0x6a] = {'MOVED', 'CONTROL', 'SERVER', 4, 514},
    [0x6b] = {'MOVE_OFFER', 'CONTROL', 'CLIENT', 37, 546},
    [0x6c] = {'MOVE_DATA', 'CONTROL', 'CLIENT', 25, VAR},
    [0x6d] = {'MOVE_STEP', 'CONTROL', 'CLIENT', 24, 24},
    [0x6e] = {'MOVE_STEP_REPLY', 'CONTROL', 'SERVER', 16, 16},
    [0x70] = {'MEM_UPDATE', 'SEQUENCED', 'ANY', 16, VAR},
    [0x78] = {'TIME_SYNC', 'SEQUENCED', 'ANY', 16, 16},
}

local STATUSES = {
    [0] = 'OK', [1] = 'PROTOCOL', [2] = 'VERSION', [3] = 'UNKNOWN_SERVER',
    [4] = 'UNKNOWN_MODULE', [5] = 'MODULE_BUSY', [6] = 'UNKNOWN_SESSION',
    [7] = 'STALE_EPOCH', [8] = 'DENIED', [9] = 'RANGE',
    [10] = 'UNSUPPORTED', [11] = 'LIMIT', [12] = 'LOOP',
    [13] = 'UNREACHABLE', [14] = 'GONE', [15] = 'IO', [16] = 'DMA',
    [17] = 'TIMEOUT', [18] = 'SHUTDOWN',
}

-- Bits: number = name
local FLAGS = {[0] = 'POSTED', [1] = 'MORE', [2] = 'TRACE'}
local CAPS = {
    [0] = 'DMA', [1] = 'RECIPES', [2] = 'SHM', [3] = 'MEMORY', [4] = 'TIME',
    [5] = 'STATE', [6] = 'ROUTE', [7] = 'RESUME', [8] = 'LONG',
    [9] = 'MOVE', [10] = 'ANNOUNCE', [11] = 'LAZY',
}
local ATTRIBUTES = {
    [0] = 'POSTED', [1] = 'PURE', [2] = 'CACHEABLE', [3] = 'DOORBELL',
}
local REGION_FLAGS = {[0] = '64BIT', [1] = 'PREFETCH'}
local MEMORY_FLAGS = {[0] = 'READONLY'}

-- Which messages may have a flag; REGION_WRITE_BATCH and DOORBELL must
local FLAG_OPS = {
    POSTED = {[0x22] = true, [0x24] = true, [0x26] = true, [0x52] = true},
    MORE = {[0x26] = true, [0x51] = true, [0x52] = true, [0x63] = true,
            [0x64] = true, [0x6c] = true},
    TRACE = {[0x20] = true, [0x22] = true, [0x24] = true},
}
local ALWAYS_POSTED = {[0x24] = true, [0x26] = true}

local ROLES = {[1] = 'CLIENT', [2] = 'GATEWAY', [3] = 'SERVER'}
local BUSES = {[1] = 'PCI', [2] = 'ISA', [3] = 'SYSBUS'}
local RESTARTS = {[1] = 'STATELESS', [2] = 'VOLATILE', [3] = 'JOURNALED'}
local REGION_KINDS = {[1] = 'MMIO', [2] = 'PIO', [3] = 'MEMORY'}
local IRQ_KINDS = {[1] = 'MSI', [2] = 'MSIX'}
local RESET_KINDS = {[1] = 'SYSTEM', [2] = 'FUNCTION'}
local QUIESCE_KINDS = {[1] = 'STOP', [2] = 'GO'}
local PHASES = {
    [0] = 'NONE', [1] = 'OFFERED', [2] = 'LOADED', [3] = 'COMMITTED',
}
local MOVE_KINDS = {[1] = 'START', [2] = 'CANCEL', [3] = 'PROGRESS'}
local MOVE_STEPS = {[1] = 'COMMIT', [2] = 'ABORT', [3] = 'ASK'}
local GONE = 255            -- distance of what cannot be reached any more
local MEM_KINDS = {[1] = 'DATA', [2] = 'FILL'}
local RECIPE_KINDS = {[0] = 'NONE', [1] = 'RING', [2] = 'LAZY'}
local STEP_KINDS = {
    [1] = 'BUFFER', [2] = 'PRP', [3] = 'PRP_LIST', [4] = 'SGL',
    [5] = 'SGL_LIST',
}
local PROPERTIES = {
    [1] = 'DRIVER', [2] = 'ACPI_HID', [3] = 'RECIPE', [4] = 'SERIAL',
}

--- Fields: rio.<name> in a display filter

local F = {}
local op_names = {}
for number, op in pairs(OPS) do
    op_names[number] = op[1]
end

local function dec(width, name, title, names, about)
    F[name] = ProtoField['uint' .. width]('rio.' .. name, title, base.DEC,
                                          names, nil, about)
end

local function hex(width, name, title, names, about)
    F[name] = ProtoField['uint' .. width]('rio.' .. name, title, base.HEX,
                                          names, nil, about)
end

local function text(name, title, about)
    F[name] = ProtoField.string('rio.' .. name, title, base.UNICODE, about)
end

-- 2^n, and whether bit n is set: in every Lua, without its operators
local function power(n)
    local value = 1
    for _ = 1, n do
        value = value * 2
    end
    return value
end

local function has_bit(value, n)
    return math.floor(value / power(n)) % 2 == 1
end

-- One field for each bit, rio.<group>.<bit>, in an integer of so many bits
local function bits(group, width, names)
    for bit, name in pairs(names) do
        local key = group .. '.' .. name:lower()
        F[key] = ProtoField.bool('rio.' .. key, name, width, nil,
                                  power(bit))
    end
end

dec(32, 'length', 'Length', nil, 'Bytes of the message, header included')
hex(8, 'op', 'Message', op_names)
hex(8, 'flags', 'Flags')
bits('flags', 8, FLAGS)
dec(8, 'hops', 'Hops', nil, 'Servers that forwarded it so far')
dec(8, 'status', 'Status', STATUSES)
dec(32, 'client', 'Client id')
dec(32, 'vm', 'VM id')
dec(32, 'server', 'Server id')
dec(32, 'module', 'Module id')
text('client.name', 'Client platform')
text('vm.name', 'VM')
text('server.name', 'Server')
text('module.name', 'Module')
text('device.name', 'Device')
dec(32, 'epoch', 'Epoch')
dec(32, 'tag', 'Tag')
dec(64, 'seq', 'Sequence number')
dec(64, 'ack', 'Acknowledged')
text('reason', 'Reason')
F.body = ProtoField.bytes('rio.body', 'Body')
F.data = ProtoField.bytes('rio.data', 'Data')
F.reserved = ProtoField.bytes('rio.reserved', 'Reserved')
F.answer_in = ProtoField.framenum('rio.answer_in', 'Answered in', base.NONE,
                                  frametype.RESPONSE)
F.answer_to = ProtoField.framenum('rio.answer_to', 'Answer to', base.NONE,
                                  frametype.REQUEST)
F.time = ProtoField.relative_time('rio.time', 'Time since the request')

-- The handshake
hex(32, 'magic', 'Magic')
dec(16, 'version_min', 'Lowest version')
dec(16, 'version_max', 'Highest version')
hex(64, 'caps', 'Capabilities')
bits('caps', 32, CAPS)
dec(32, 'max_message', 'Message limit')
dec(32, 'keepalive_ms', 'Keep-alive interval (ms)')
dec(8, 'role', 'Role', ROLES)
F.uuid = ProtoField.guid('rio.uuid', 'UUID')
text('software', 'Software')
hex(64, 'cookie', 'Cookie')

-- Sessions
F.token = ProtoField.bytes('rio.token', 'Token')
dec(32, 'log_limit', 'Log limit')
dec(32, 'max_outstanding', 'Requests at a time')
dec(64, 'received', 'Last received')

-- Accesses
dec(8, 'region', 'Region')
dec(8, 'size', 'Size')
hex(64, 'offset', 'Offset')
hex(64, 'value', 'Value')
dec(32, 'count', 'Count')
F.write = ProtoField.none('rio.write', 'Write')

-- Interrupts, reset, stopping
dec(16, 'irq.line', 'Line')
dec(8, 'irq.level', 'Level', {[0] = 'low', [1] = 'high'})
dec(8, 'irq.kind', 'Kind', IRQ_KINDS)
dec(16, 'irq.vector', 'Vector')
dec(8, 'reset.kind', 'Kind', RESET_KINDS)
dec(8, 'quiesce.kind', 'Kind', QUIESCE_KINDS)
dec(64, 'state.offset', 'Offset in the state')
dec(64, 'time.now', 'Now (ns)')
dec(64, 'time.horizon', 'Horizon (ns)')

-- Memory
dec(32, 'dma.total', 'Total')
hex(64, 'dma.address', 'Address')
dec(32, 'dma.length', 'Length')
dec(32, 'dma.step', 'Step of the recipe')
dec(32, 'dma.offset', 'Offset in the transfer')
F['dma.segment'] = ProtoField.none('rio.dma.segment', 'Segment')
F['memory.entry'] = ProtoField.none('rio.memory.entry', 'Entry')
hex(64, 'memory.address', 'Address')
dec(64, 'memory.size', 'Size')
hex(64, 'memory.offset', 'Offset in the file')
dec(32, 'memory.file', 'File')
hex(32, 'memory.flags', 'Flags')
bits('memory.flags', 32, MEMORY_FLAGS)
dec(8, 'update.kind', 'Kind', MEM_KINDS)
hex(8, 'update.fill', 'Fill')
dec(32, 'update.length', 'Length')

-- Routing
F.hop = ProtoField.none('rio.hop', 'Hop')
dec(32, 'hop.server', 'Server id')
dec(8, 'hop.hops', 'Hops')
dec(64, 'hop.nanoseconds', 'Nanoseconds')
text('hop.name', 'Server')

-- Announcements and moves
F.entry = ProtoField.none('rio.entry', 'Entry')
dec(8, 'entry.distance', 'Distance', {[GONE] = 'gone'})
F['move.id'] = ProtoField.bytes('rio.move.id', 'Id of the move')
dec(8, 'move.kind', 'Kind', MOVE_KINDS)
dec(8, 'move.step', 'Step', MOVE_STEPS)
dec(8, 'move.phase', 'Phase', PHASES)
dec(64, 'move.done', 'Bytes done')
dec(64, 'move.total', 'Bytes of the parcel')
dec(64, 'move.offset', 'Offset in the parcel')
dec(32, 'move.state_version', 'Version of the state')
dec(32, 'move.sessions', 'Sessions')
text('move.address', 'Address')
text('move.driver', 'Driver')

-- The description
F.description = ProtoField.none('rio.description', 'Description')
dec(8, 'bus', 'Bus', BUSES)
dec(8, 'restart', 'Restart class', RESTARTS)
hex(16, 'pci.vendor', 'Vendor id')
hex(16, 'pci.device', 'Device id')
hex(16, 'pci.subsystem_vendor', 'Subsystem vendor id')
hex(16, 'pci.subsystem', 'Subsystem id')
hex(32, 'pci.class', 'Class code')
dec(8, 'pci.revision', 'Revision')
dec(8, 'pci.pin', 'Interrupt pin')
dec(8, 'lines', 'Level lines')
dec(8, 'msi.vectors', 'MSI vectors')
dec(16, 'msix.vectors', 'MSI-X vectors')
dec(8, 'msix.table_bar', 'BAR of the MSI-X table')
dec(8, 'msix.pba_bar', 'BAR of the pending bits')
hex(32, 'msix.table_offset', 'Offset of the MSI-X table')
hex(32, 'msix.pba_offset', 'Offset of the pending bits')
dec(8, 'isa.irq', 'Default IRQ')
dec(8, 'regions', 'Regions')
dec(8, 'ranges', 'Ranges')
dec(8, 'properties', 'Properties')
F['region.item'] = ProtoField.none('rio.region.item', 'Region')
dec(8, 'region.kind', 'Kind', REGION_KINDS)
hex(8, 'region.flags', 'Flags')
bits('region.flags', 8, REGION_FLAGS)
dec(64, 'region.size', 'Size')
hex(64, 'region.base', 'Default address')
F.range = ProtoField.none('rio.range', 'Range')
hex(8, 'range.sizes', 'Access sizes')
hex(16, 'range.attributes', 'Attributes')
bits('range.attributes', 16, ATTRIBUTES)
hex(64, 'range.offset', 'Offset')
dec(64, 'range.length', 'Length')
F.property = ProtoField.none('rio.property', 'Property')
dec(16, 'property.type', 'Type', PROPERTIES)
dec(16, 'property.length', 'Length')
text('property.text', 'Value')

-- Recipes
F.recipe = ProtoField.none('rio.recipe', 'Recipe')
dec(16, 'recipe.slot', 'Slot')
dec(8, 'recipe.kind', 'Kind', RECIPE_KINDS)
hex(64, 'recipe.doorbell', 'Doorbell')
hex(64, 'recipe.base', 'Ring')
dec(32, 'recipe.entries', 'Entries')
dec(32, 'recipe.entry_size', 'Bytes of an entry')
dec(32, 'recipe.index', 'Index')
hex(32, 'recipe.index_mask', 'Mask of the index')
hex(64, 'recipe.index_address', 'Address of the index')
dec(8, 'recipe.index_size', 'Bytes of the index')
dec(8, 'recipe.steps', 'Steps')
dec(16, 'recipe.max_entries', 'Entries at most')
dec(32, 'recipe.max_bytes', 'Bytes at most')
F.step = ProtoField.none('rio.step', 'Step')
F.match = ProtoField.none('rio.match', 'Match')
dec(16, 'match.offset', 'Offset in the entry')
dec(8, 'match.size', 'Size')
hex(32, 'match.mask', 'Mask')
hex(32, 'match.value', 'Value')
dec(8, 'step.kind', 'Kind', STEP_KINDS)
dec(8, 'step.page_shift', 'Page shift')
dec(16, 'step.pointer1', 'First pointer at')
dec(16, 'step.pointer2', 'Second pointer at')
dec(16, 'step.length_at', 'Length at')
dec(8, 'step.length_size', 'Bytes of the length')
dec(8, 'step.length_shift', 'Shift of the length')
hex(32, 'step.length_mask', 'Mask of the length')
dec(32, 'step.length_add', 'Added to the length')
dec(32, 'step.length_max', 'Length at most')

local fields = {}
for _, field in pairs(F) do
    table.insert(fields, field)
end
rio.fields = fields

local E = {
    malformed = ProtoExpert.new('rio.malformed', 'Malformed message',
                                expert.group.MALFORMED,
                                expert.severity.ERROR),
    unknown = ProtoExpert.new('rio.unknown', 'Not known to this dissector',
                              expert.group.UNDECODED, expert.severity.WARN),
    refused = ProtoExpert.new('rio.refused', 'Refused',
                              expert.group.RESPONSE_CODE,
                              expert.severity.NOTE),
    ended = ProtoExpert.new('rio.ended', 'The end of a session or connection',
                            expert.group.SEQUENCE, expert.severity.NOTE),
}
rio.experts = {E.malformed, E.unknown, E.refused, E.ended}

--- A cursor in the body of a message
--
-- Each call shows what is next and goes on behind it.  What the body is too
-- short for is a malformed message, once; calls after that do nothing and
-- return 0 or ''.  So a decoder is written as if every body were good.

local Cursor = {}
Cursor.__index = Cursor

function Cursor.new(tvb, at, tree)
    return setmetatable({tvb = tvb, at = at, tree = tree, bad = false},
                        Cursor)
end

-- The same place, under another branch of the tree
function Cursor:branch(field, title)
    local tree = self.tree
    local from = self.at
    local last = self.tvb:len() - 1
    local item = tree:add(F[field], self.tvb(math.min(from, last)))
    if title then
        item:set_text(title)
    end
    self.tree = item
    return item, function()
        item:set_len(self.at - from)
        self.tree = tree
    end
end

function Cursor:malformed(what)
    if not self.bad then
        self.tree:add_proto_expert_info(E.malformed, what)
    end
    self.bad = true
end

function Cursor:left()
    return self.bad and 0 or self.tvb:len() - self.at
end

function Cursor:take(size)
    if self.bad then
        return nil
    end
    if size > self:left() then
        self:malformed(('%d bytes are missing'):format(size - self:left()))
        return nil
    end
    local range = self.tvb(self.at, size)
    self.at = self.at + size
    return range
end

-- An integer, which is returned (8 bytes: as a UInt64)
function Cursor:int(field, size)
    local range = self:take(size)
    if not range then
        return size == 8 and UInt64(0) or 0, self.tree
    end
    local item = self.tree:add_le(F[field], range)
    return size == 8 and range:le_uint64() or range:le_uint(), item
end

-- An integer that must have a name in this table
function Cursor:one_of(field, size, names)
    local value = self:int(field, size)
    if not self.bad and not names[value] then
        self:malformed(('%s is %d'):format(field, value))
    end
    return value, names[value] or tostring(value)
end

-- Bits, of which none but those with a name is set; their names
function Cursor:bits(field, size, names, all)
    local range = self:take(size)
    if not range then
        return 0, ''
    end
    local low = range(0, math.min(size, 4))
    local item = self.tree:add_le(F[field], range)
    local value, said, known = low:le_uint(), {}, 0
    for bit = 0, 31 do
        if names[bit] then
            item:add_le(F[field .. '.' .. names[bit]:lower()], low)
            if has_bit(value, bit) then
                known = known + power(bit)
                table.insert(said, names[bit])
            end
        end
    end
    if not all and known ~= value then
        self:malformed(('%s has unknown bits: 0x%x'):format(field, value))
    end
    said = table.concat(said, ' ')
    item:append_text(said ~= '' and ' (' .. said .. ')' or '')
    return value, said
end

function Cursor:bytes(field, size)
    if size == 0 or self.bad then
        return nil
    end
    local range = self:take(size)
    if range then
        self.tree:add(F[field], range)
    end
    return range
end

function Cursor:reserved(size)
    local range = self:take(size)
    for i = 0, range and size - 1 or -1 do
        if range(i, 1):uint() ~= 0 then
            self.tree:add(F.reserved, range)
            self:malformed('reserved bytes are not 0')
            return
        end
    end
end

-- A string whose bytes follow its length, or are so many
function Cursor:string(field, size)
    local length = size
    if not size then
        local range = self:take(2)
        length = range and range:le_uint() or 0
    end
    if length > 255 then
        self:malformed(('a string of %d bytes'):format(length))
    end
    if length == 0 or self.bad then
        return ''
    end
    local range = self:take(length)
    if not range then
        return ''
    end
    local said = range:string(ENC_UTF_8)
    self.tree:add_packet_field(F[field], range, ENC_UTF_8)
    for i = 0, length - 1 do
        local byte = range(i, 1):uint()
        if byte < 0x20 or byte == 0x7f then
            self:malformed('a string with control characters')
            return ''
        end
    end
    return said
end

function Cursor:rest(field)
    return self:bytes(field, self:left())
end

--- Who is who: names are said by HELLO and ATTACH only, ids after that
--
-- Ids mean something on one connection.  Wireshark dissects a frame again
-- when it is looked at, and not in their order, so what was learned is kept
-- with the frame that it was learned from.

local streams, tokens, requests, answers

function rio.init()
    streams = {}        -- by connection: {client, server, asked, sessions}
    tokens = {}         -- names of a session by its token
    requests = {}       -- frame and time of what was not answered yet
    answers = {}        -- by frame and message: where the other one is
end

local get_stream = Field.new('tcp.stream')

local function stream_of()
    local field = get_stream()
    local key = field and field.value or -1
    if not streams[key] then
        streams[key] = {key = key, asked = {}, sessions = {}}
    end
    return streams[key]
end

local function quad(head)
    return ('%d.%d.%d.%d'):format(head.client, head.vm, head.server,
                                  head.module)
end

local function learn(stream, frame, key, names)
    local known = stream.sessions[key] or {}
    table.insert(known, {frame = frame, names = names})
    stream.sessions[key] = known
end

-- The names of the session that a message is of
local function names_of(stream, frame, head)
    local found
    for _, known in ipairs(stream.sessions[quad(head)] or {}) do
        if known.frame <= frame then
            found = known.names
        end
    end
    return found or {}
end

local function learn_hello(context, name)
    local stream, head = context.stream, context.head
    if head.op == 0x01 then
        stream.client = name
    elseif head.status == 0 then
        stream.server, stream.server_id = name, head.server
        learn(stream, context.frame, quad(head),
              {client = stream.client, server = name})
        learn(stream, context.frame, ('%d.0.0.0'):format(head.client),
              {client = stream.client})
    end
end

local function learn_attach(context, names)
    names.client = names.client or context.stream.client
    context.stream.asked[context.head.tag] = names
end

local function learn_attach_reply(context, token)
    local stream, head = context.stream, context.head
    local names = stream.asked[head.tag]
    if names then
        stream.asked[head.tag] = nil
        if not names.server and head.server == stream.server_id then
            names.server = stream.server
        end
        learn(stream, context.frame, quad(head), names)
        tokens[token] = names
    end
end

local function learn_resume(context, token)
    if tokens[token] then
        learn(context.stream, context.frame, quad(context.head),
              tokens[token])
    end
end

--- Requests and their answers: those of one frame are told by their tags

-- What a message answers: the opcode, or nil
local function asked_by(op)
    local name = OPS[op] and OPS[op][1] or ''
    local request = name:match('^(.*)_REPLY$')
    if request and OPS[op - 1] and OPS[op - 1][1] == request then
        return op - 1
    end
end

local function match_answer(context, item)
    local head, frame = context.head, context.frame
    -- ATTACH_REPLY names ids that ATTACH did not have
    local who = head.op <= 0x11 and 'anybody' or quad(head)
    local function key_of(op)
        return ('%d:%s:%d:%d'):format(context.stream.key, who, head.tag, op)
    end
    local here = ('%d:%s'):format(frame, key_of(head.op))
    local request = asked_by(head.op)

    if not context.visited then
        if request then
            local first = requests[key_of(request)]
            if first then
                answers[here] = first
                answers[first.here] = {frame = frame}
            end
        elseif OPS[head.op + 1] and asked_by(head.op + 1) == head.op then
            requests[key_of(head.op)] = {frame = frame, time = context.time,
                                         here = here}
        end
    end

    local other = answers[here]
    if other and request then
        item:add(F.answer_to, other.frame):set_generated()
        item:add(F.time, context.time - other.time):set_generated()
    elseif other then
        item:add(F.answer_in, other.frame):set_generated()
    end
end

--- Bodies: each takes a cursor and returns what the list of packets shows

local function hello(c, context)
    local magic = c:int('magic', 4)
    if magic ~= MAGIC then
        c:malformed('the magic number is wrong')
    end
    local low, high = c:int('version_min', 2), c:int('version_max', 2)
    local _, caps = c:bits('caps', 8, CAPS, true)
    c:int('max_message', 4)
    c:int('keepalive_ms', 4)
    local _, role = c:one_of('role', 1, ROLES)
    c:reserved(3)
    c:bytes('uuid', 16)
    local name = c:string(context.head.op == 0x01 and 'client.name' or
                          'server.name')
    c:string('software')
    learn_hello(context, name)
    return ('"%s" %s, version %d to %d: %s'):format(name, role, low, high,
                                                    caps)
end

local function cookie(c)
    c:int('cookie', 8)
    return ''
end

local function reason(c)
    return c:string('reason')
end

local function attach(c, context)
    local names = {}
    c:bits('caps', 8, CAPS, true)
    c:bytes('uuid', 16)
    names.server = c:string('server.name')
    names.module = c:string('module.name')
    names.vm = c:string('vm.name')
    names.device = c:string('device.name')
    if context.head.hops > 0 then
        names.client = c:string('client.name')
        c:bytes('uuid', 16)
    end
    if names.server == '' then
        names.server = nil
    end
    learn_attach(context, names)
    return ('module "%s"%s for VM "%s", device "%s"'):format(
        names.module, names.server and ' of "' .. names.server .. '"' or '',
        names.vm, names.device)
end

local describe              -- of a module, below

local function attach_reply(c, context)
    local token = c:bytes('token', 16)
    local _, caps = c:bits('caps', 8, CAPS, true)
    c:int('log_limit', 4)
    c:int('max_outstanding', 4)
    local what = describe(c)
    if token and not context.visited then
        learn_attach_reply(context, token:bytes():tohex())
    end
    return what .. ': ' .. caps
end

local function resume(c, context)
    local token = c:bytes('token', 16)
    local received = c:int('received', 8)
    if token and not context.visited then
        learn_resume(context, token:bytes():tohex())
    end
    return ('received %s'):format(received)
end

local function resume_reply(c)
    return ('received %s'):format(c:int('received', 8))
end

local function hops(c, count)
    local names = {}
    for _ = 1, count do
        if c.bad then
            break
        end
        local item, done = c:branch('hop')
        c:int('hop.server', 4)
        c:int('hop.hops', 1)
        c:reserved(3)
        c:int('hop.nanoseconds', 8)
        local name = c:string('hop.name')
        item:append_text(': ' .. name)
        table.insert(names, name)
        done()
    end
    return table.concat(names, ' > ')
end

local function route_trace(c)
    local count = c:int('count', 2)
    c:reserved(2)
    local server, module = c:string('server.name'), c:string('module.name')
    return ('to "%s" of "%s": %s'):format(module, server, hops(c, count))
end

local function route_trace_reply(c)
    local count = c:int('count', 2)
    c:reserved(6)
    return hops(c, count)
end

local function plain_hex(value)
    return '0x' .. value:tohex():gsub('^0+(.)', '%1')
end

-- Region and offset, and the size of the access
local function place(c)
    local region, size = c:int('region', 1), c:int('size', 1)
    c:reserved(6)
    return ('%d+%s'):format(region, plain_hex(c:int('offset', 8))), size
end

local function region_read(c)
    local where, size = place(c)
    return ('%s, %d bytes'):format(where, size)
end

local function region_read_reply(c)
    return plain_hex(c:int('value', 8))
end

local function region_write(c)
    local where, size = place(c)
    return ('%s, %d bytes, %s'):format(where, size,
                                       plain_hex(c:int('value', 8)))
end

local function region_write_batch(c)
    local count = c:int('count', 4)
    c:reserved(4)
    for _ = 1, count do
        if c.bad then
            break
        end
        local item, done = c:branch('write')
        item:append_text(': ' .. region_write(c))
        done()
    end
    return ('%d writes'):format(count)
end

-- A list of pieces of guest memory, of so many bytes together
local function segments(c, count, total)
    local sum = 0
    for _ = 1, count do
        if c.bad then
            break
        end
        local item, done = c:branch('dma.segment')
        local address = c:int('dma.address', 8)
        local length = c:int('dma.length', 4)
        local step = c:int('dma.step', 4)
        item:append_text((': %s, %d bytes%s'):format(
            plain_hex(address), length,
            step > 0 and ', step ' .. step or ''))
        sum = sum + length
        done()
    end
    if not c.bad and sum ~= total then
        c:malformed(('the segments have %d bytes, not %d'):format(sum, total))
    end
end

local function dma_list(c)
    local count, total = c:int('count', 4), c:int('dma.total', 4)
    segments(c, count, total)
    return count, total
end

local function dma_read(c)
    local count, total = dma_list(c)
    return ('%d bytes in %d segments'):format(total, count)
end

local function dma_read_reply(c)
    local offset = c:int('dma.offset', 4)
    c:reserved(4)
    local data = c:rest('data')
    return ('%d bytes at %d'):format(data and data:len() or 0, offset)
end

local function dma_write(c)
    local count, total = dma_list(c)
    c:bytes('data', total)
    return ('%d bytes in %d segments'):format(total, count)
end

local function doorbell(c)
    local what = region_write(c)
    local count, total = dma_list(c)
    c:bytes('data', total)
    return ('%s, with %d bytes in %d segments'):format(what, total, count)
end

local function mem_table(c)
    local count = c:int('count', 4)
    c:reserved(4)
    for _ = 1, count do
        if c.bad then
            break
        end
        local item, done = c:branch('memory.entry')
        local address = c:int('memory.address', 8)
        local size = c:int('memory.size', 8)
        c:int('memory.offset', 8)
        c:int('memory.file', 4)
        c:bits('memory.flags', 4, MEMORY_FLAGS)
        item:append_text((': %s, %s bytes'):format(plain_hex(address), size))
        done()
    end
    return ('%d entries'):format(count)
end

local function irq_level(c)
    local line, level = c:int('irq.line', 2), c:int('irq.level', 1)
    c:reserved(5)
    return ('line %d is %s'):format(line, level == 0 and 'low' or 'high')
end

local function irq_message(c)
    local _, kind = c:one_of('irq.kind', 1, IRQ_KINDS)
    c:reserved(1)
    local vector = c:int('irq.vector', 2)
    c:reserved(4)
    return ('%s vector %d'):format(kind, vector)
end

-- A kind in one byte, and seven that are reserved
local function kind_only(field, names)
    return function(c)
        local _, kind = c:one_of(field, 1, names)
        c:reserved(7)
        return kind
    end
end

local function state_piece(c)
    local offset = c:int('state.offset', 8)
    local data = c:rest('data')
    return ('%d bytes at %s'):format(data and data:len() or 0, offset)
end

local function mem_update(c)
    local region = c:int('region', 1)
    local kind, said = c:one_of('update.kind', 1, MEM_KINDS)
    c:int('update.fill', 1)
    c:reserved(1)
    local length = c:int('update.length', 4)
    local offset = c:int('offset', 8)
    if kind == 1 then
        c:bytes('data', length)
    end
    return ('%s, %d bytes at %d+%s'):format(said, length, region,
                                            plain_hex(offset))
end

local function time_sync(c)
    local now, horizon = c:int('time.now', 8), c:int('time.horizon', 8)
    return ('%s to %s ns'):format(now, horizon)
end

local function announce(c)
    local count = c:int('count', 4)
    c:reserved(4)
    for _ = 1, count do
        if c.bad then
            break
        end
        local item, done = c:branch('entry')
        local distance = c:int('entry.distance', 1)
        c:reserved(1)
        local server, module = c:string('server.name'),
            c:string('module.name')
        item:append_text((': %s of %s, %s'):format(
            module ~= '' and module or 'nothing', server,
            distance == GONE and 'gone' or distance .. ' away'))
        done()
    end
    return ('%d entries'):format(count)
end

local function move(c)
    local _, kind = c:one_of('move.kind', 1, MOVE_KINDS)
    c:reserved(7)
    local server, module = c:string('server.name'), c:string('module.name')
    return kind .. (server ~= '' and ' to ' .. server or '') ..
        (module ~= '' and ' as ' .. module or '')
end

local function move_reply(c)
    local _, phase = c:one_of('move.phase', 1, PHASES)
    c:reserved(7)
    local done, total = c:int('move.done', 8), c:int('move.total', 8)
    return ('%s, %s of %s bytes'):format(phase, done, total)
end

local function moved(c)
    local server, address = c:string('server.name'), c:string('move.address')
    return ('to "%s" at "%s"'):format(server, address)
end

local function move_offer(c)
    c:bytes('move.id', 16)
    c:bits('caps', 8, CAPS, true)
    c:int('move.state_version', 4)
    local sessions = c:int('move.sessions', 4)
    local module, driver = c:string('module.name'), c:string('move.driver')
    return ('"%s" (%s) with %d sessions'):format(module, driver, sessions)
end

local function move_data(c)
    c:bytes('move.id', 16)
    local offset = c:int('move.offset', 8)
    local data = c:rest('data')
    return ('%d bytes at %s'):format(data and data:len() or 0, offset)
end

local function move_step(c)
    c:bytes('move.id', 16)
    local _, step = c:one_of('move.step', 1, MOVE_STEPS)
    c:reserved(7)
    return step
end

local function move_step_reply(c)
    local _, phase = c:one_of('move.phase', 1, PHASES)
    c:reserved(7)
    return ('%s, %s bytes'):format(phase, c:int('move.done', 8))
end

local function match(c)
    local item, done = c:branch('match')
    local offset, size = c:int('match.offset', 2), c:int('match.size', 1)
    c:reserved(1)
    local mask, value = c:int('match.mask', 4), c:int('match.value', 4)
    item:append_text(size == 0 and ': always' or
                     (': %d bytes at %d & 0x%x = 0x%x'):format(size, offset,
                                                               mask, value))
    done()
end

local function step(c, index)
    local item, done = c:branch('step')
    match(c)
    match(c)
    local _, kind = c:one_of('step.kind', 1, STEP_KINDS)
    c:int('step.page_shift', 1)
    c:int('step.pointer1', 2)
    c:int('step.pointer2', 2)
    c:int('step.length_at', 2)
    c:int('step.length_size', 1)
    c:int('step.length_shift', 1)
    c:reserved(2)
    c:int('step.length_mask', 4)
    c:int('step.length_add', 4)
    c:int('step.length_max', 4)
    item:append_text((' %d: %s'):format(index, kind))
    done()
end

local function recipe(c)
    local slot, region = c:int('recipe.slot', 2), c:int('region', 1)
    local kind, said = c:one_of('recipe.kind', 1, RECIPE_KINDS)
    c:reserved(4)
    c:int('recipe.doorbell', 8)
    c:int('recipe.base', 8)
    c:int('recipe.entries', 4)
    c:int('recipe.entry_size', 4)
    c:int('recipe.index', 4)
    c:int('recipe.index_mask', 4)
    c:int('recipe.index_address', 8)
    c:int('recipe.index_size', 1)
    local steps = c:int('recipe.steps', 1)
    c:int('recipe.max_entries', 2)
    c:int('recipe.max_bytes', 4)
    c:reserved(8)
    for index = 1, steps do
        if c.bad then
            break
        end
        step(c, index)
    end
    return ('slot %d: %s%s'):format(slot, said, kind == 0 and '' or
                                    (', region %d, %d steps'):format(region,
                                                                     steps))
end

local function region_item(c)
    local item, done = c:branch('region.item')
    local index = c:int('region', 1)
    local _, kind = c:one_of('region.kind', 1, REGION_KINDS)
    c:bits('region.flags', 1, REGION_FLAGS)
    c:reserved(5)
    local size = c:int('region.size', 8)
    c:int('region.base', 8)
    item:append_text((' %d: %s, %s bytes'):format(index, kind, size))
    done()
end

local function range_item(c)
    local item, done = c:branch('range')
    local region = c:int('region', 1)
    c:int('range.sizes', 1)
    local _, said = c:bits('range.attributes', 2, ATTRIBUTES)
    c:reserved(4)
    local offset = c:int('range.offset', 8)
    local length = c:int('range.length', 8)
    item:append_text((': %d+%s, %s bytes: %s'):format(
        region, plain_hex(offset), length, said))
    done()
end

-- Types that are not known are skipped, as a receiver does
local function property(c)
    local item, done = c:branch('property')
    local kind, length = c:int('property.type', 2), c:int('property.length', 2)
    local name = PROPERTIES[kind]
    local said = ''
    if kind == 3 then
        local at = c.at
        recipe(c)
        if not c.bad and c.at - at ~= length then
            c:malformed('a recipe of another length')
        end
    elseif name then
        said = c:string('property.text', length)
    else
        c:bytes('data', length)
    end
    item:append_text((': %s %s'):format(name or kind, said))
    done()
    return name, said
end

describe = function(c)
    local item, done = c:branch('description')
    local _, bus = c:one_of('bus', 1, BUSES)
    local _, restart = c:one_of('restart', 1, RESTARTS)
    local vendor, device = c:int('pci.vendor', 2), c:int('pci.device', 2)
    c:int('pci.subsystem_vendor', 2)
    c:int('pci.subsystem', 2)
    c:reserved(2)
    c:int('pci.class', 4)
    c:int('pci.revision', 1)
    c:int('pci.pin', 1)
    c:int('lines', 1)
    c:int('msi.vectors', 1)
    c:int('msix.vectors', 2)
    c:int('msix.table_bar', 1)
    c:int('msix.pba_bar', 1)
    c:int('msix.table_offset', 4)
    c:int('msix.pba_offset', 4)
    c:int('isa.irq', 1)
    local regions, ranges = c:int('regions', 1), c:int('ranges', 1)
    local properties = c:int('properties', 1)
    c:reserved(28)
    local driver = '?'
    for _ = 1, regions do
        region_item(c)
    end
    for _ = 1, ranges do
        range_item(c)
    end
    for _ = 1, properties do
        local name, said = property(c)
        if name == 'DRIVER' then
            driver = said
        end
    end
    local what = ('%s on %s%s, %s'):format(
        driver, bus, bus == 'PCI' and (' %04x:%04x'):format(vendor, device)
        or '', restart)
    item:append_text(': ' .. what)
    done()
    return what
end

local function nothing()
    return ''
end

local BODIES = {
    HELLO = hello, HELLO_REPLY = hello, PING = cookie, PONG = cookie,
    BYE = reason, ATTACH = attach, ATTACH_REPLY = attach_reply,
    RESUME = resume, RESUME_REPLY = resume_reply, DETACH = nothing,
    DETACH_REPLY = nothing, ACK = nothing, SESSION_GONE = reason,
    ROUTE_TRACE = route_trace, ROUTE_TRACE_REPLY = route_trace_reply,
    REGION_READ = region_read, REGION_READ_REPLY = region_read_reply,
    REGION_WRITE = region_write, REGION_WRITE_REPLY = nothing,
    REGION_WRITE_BATCH = region_write_batch, DOORBELL = doorbell,
    RECIPE = recipe, IRQ_LEVEL = irq_level, IRQ_MESSAGE = irq_message,
    RESET = kind_only('reset.kind', RESET_KINDS), RESET_REPLY = nothing,
    DMA_READ = dma_read, DMA_READ_REPLY = dma_read_reply,
    DMA_WRITE = dma_write, DMA_WRITE_REPLY = nothing, MEM_TABLE = mem_table,
    MEM_TABLE_REPLY = nothing,
    QUIESCE = kind_only('quiesce.kind', QUIESCE_KINDS),
    QUIESCE_REPLY = nothing, STATE_SAVE = state_piece,
    STATE_SAVE_REPLY = state_piece, STATE_LOAD = state_piece,
    STATE_LOAD_REPLY = nothing, ANNOUNCE = announce, MOVE = move,
    MOVE_REPLY = move_reply, MOVED = moved, MOVE_OFFER = move_offer,
    MOVE_DATA = move_data, MOVE_STEP = move_step,
    MOVE_STEP_REPLY = move_step_reply, MEM_UPDATE = mem_update,
    TIME_SYNC = time_sync,
}

--- Messages

-- Whether the body is a reason: of a refusal, or of an end
local function is_reason(head, name)
    return name == 'BYE' or name == 'SESSION_GONE' or
        (head.status ~= 0 and name:match('_REPLY$') ~= nil)
end

local function check_header(tree, head, op)
    local function malformed(what)
        tree:add_proto_expert_info(E.malformed, what)
    end
    local ids = head.client + head.vm + head.server + head.module
    for bit, flag in pairs(FLAGS) do
        if has_bit(head.flags, bit) and not FLAG_OPS[flag][head.op] then
            malformed(('the flag %s is not for %s'):format(flag, op[1]))
        end
    end
    if ALWAYS_POSTED[head.op] and not has_bit(head.flags, 0) then
        malformed(('%s without the flag POSTED'):format(op[1]))
    end
    if head.hops > MAX_HOPS then
        malformed(('%d hops'):format(head.hops))
    end
    if not STATUSES[head.status] then
        malformed(('unknown status %d'):format(head.status))
    elseif head.status ~= 0 and not is_reason(head, op[1]) then
        malformed(('%s with a status'):format(op[1]))
    end
    if op[2] == 'LINK' then
        if ids ~= 0 and op[1] ~= 'HELLO_REPLY' or head.tag + head.epoch ~= 0
           or head.seq ~= 0 or head.ack ~= 0 then
            malformed(('%s names a session'):format(op[1]))
        end
    elseif op[2] == 'CONTROL' and head.seq ~= 0 then
        malformed(('%s has a sequence number'):format(op[1]))
    elseif op[2] == 'SEQUENCED' and head.seq == 0 then
        malformed(('%s has no sequence number'):format(op[1]))
    end
end

local function id_field(tree, tvb, at, which, name)
    local item = tree:add_le(F[which], tvb(at, 4))
    if name then
        item:append_text((' (%s)'):format(name))
        tree:add(F[which .. '.name'], tvb(at, 4), name):set_generated()
    end
end

local function dissect_header(tvb, tree, head, names)
    tree:add_le(F.length, tvb(0, 4))
    tree:add_le(F.op, tvb(4, 1))
    Cursor.new(tvb, 5, tree):bits('flags', 1, FLAGS)
    tree:add_le(F.hops, tvb(6, 1))
    local status = tree:add_le(F.status, tvb(7, 1))
    id_field(tree, tvb, 8, 'client', names.client)
    id_field(tree, tvb, 12, 'vm', names.vm)
    id_field(tree, tvb, 16, 'server', names.server)
    id_field(tree, tvb, 20, 'module', names.module)
    if names.device then
        tree:add(F['device.name'], tvb(8, 16), names.device):set_generated()
    end
    tree:add_le(F.epoch, tvb(24, 4))
    tree:add_le(F.tag, tvb(28, 4))
    tree:add_le(F.seq, tvb(32, 8))
    tree:add_le(F.ack, tvb(40, 8))
    return status
end

local function read_header(tvb)
    return {
        length = tvb(0, 4):le_uint(), op = tvb(4, 1):uint(),
        flags = tvb(5, 1):uint(), hops = tvb(6, 1):uint(),
        status = tvb(7, 1):uint(), client = tvb(8, 4):le_uint(),
        vm = tvb(12, 4):le_uint(), server = tvb(16, 4):le_uint(),
        module = tvb(20, 4):le_uint(), epoch = tvb(24, 4):le_uint(),
        tag = tvb(28, 4):le_uint(), seq = tvb(32, 8):le_uint64():tonumber(),
        ack = tvb(40, 8):le_uint64():tonumber(),
    }
end

local function dissect_body(tvb, tree, context, op)
    local head = context.head
    local size = tvb:len() - HEADER_SIZE
    local c = Cursor.new(tvb, HEADER_SIZE, tree)
    if not op then
        tree:add_proto_expert_info(E.unknown,
                                   ('message 0x%02x'):format(head.op))
        c:rest('body')
        return ''
    end
    local said
    if is_reason(head, op[1]) then
        said = ('%s: %s'):format(STATUSES[head.status] or head.status,
                                 reason(c))
        tree:add_proto_expert_info(op[1]:match('_REPLY$') and E.refused or
                                   E.ended, op[1] .. ' ' .. said)
    else
        if size < op[4] or size > op[5] then
            c:malformed(('%s with a body of %d bytes'):format(op[1], size))
        end
        said = (BODIES[op[1]] or nothing)(c, context)
    end
    if c:left() > 0 then
        c:malformed(('%d bytes too many'):format(c:left()))
        c.bad = false
        c:rest('body')
    end
    return said
end

local function who(names)
    local words = {}
    for _, key in ipairs({'client', 'vm', 'module'}) do
        if names[key] and names[key] ~= '' then
            table.insert(words, names[key])
        end
    end
    return table.concat(words, '/')
end

-- One message; @tvb holds exactly its bytes
local function dissect_message(tvb, pinfo, root)
    pinfo.cols.protocol = 'remote-io'
    local tree = root:add(rio, tvb())
    local length = tvb:len() >= 4 and tvb(0, 4):le_uint() or 0
    if length < HEADER_SIZE or length > MAX_MESSAGE or tvb:len() < length then
        tree:add_proto_expert_info(E.malformed,
                                   ('a message of %d bytes'):format(length))
        pinfo.cols.info:append('[malformed] ')
        return tvb:len()
    end

    local head = read_header(tvb)
    local op = OPS[head.op]
    local stream = stream_of()
    local context = {head = head, stream = stream, frame = pinfo.number,
                     visited = pinfo.visited,
                     time = NSTime(math.floor(pinfo.rel_ts),
                                   math.floor(pinfo.rel_ts % 1 * 1e9))}
    local name = op and op[1] or ('0x%02x'):format(head.op)
    -- A RESUME makes its ids known, and ATTACH_REPLY too: the body is first
    local names = names_of(stream, pinfo.number, head)
    local header = tree:add(rio, tvb(0, HEADER_SIZE), 'Header')
    local body = length > HEADER_SIZE and
        tree:add(rio, tvb(HEADER_SIZE), 'Body') or tree
    local said = dissect_body(tvb, body, context, op)
    if not names.vm then
        names = names_of(stream, pinfo.number, head)
    end
    dissect_header(tvb, header, head, names)
    if op then
        check_header(header, head, op)
    end
    match_answer(context, header)

    local person = who(names)
    local line = name .. (person ~= '' and ' ' .. person or '') ..
        (said ~= '' and ' ' .. said or '')
    tree:append_text((', %s'):format(line))
    pinfo.cols.info:append(line .. '; ')
    return tvb:len()
end

local function message_length(tvb, pinfo, offset)
    local length = tvb(offset, 4):le_uint()
    if length < HEADER_SIZE or length > MAX_MESSAGE then
        return tvb:len() - offset       -- the stream is lost: show the rest
    end
    return length
end

function rio.dissector(tvb, pinfo, root)
    pinfo.cols.info:clear()
    dissect_tcp_pdus(tvb, root, 4, message_length, dissect_message)
    pinfo.cols.info:fence()
    return tvb:len()
end

-- A connection begins with HELLO, which comes in one piece
local function is_hello(tvb, pinfo, root)
    if tvb:len() < HEADER_SIZE + 48 or tvb(4, 1):uint() > 2 or
       tvb(4, 1):uint() == 0 or tvb(HEADER_SIZE, 4):le_uint() ~= MAGIC or
       tvb(0, 4):le_uint() < HEADER_SIZE + 48 or
       tvb(0, 4):le_uint() > HEADER_SIZE + 558 then
        return false
    end
    pinfo.conversation = rio
    rio.dissector(tvb, pinfo, root)
    return true
end

rio:register_heuristic('tcp', is_hello)
DissectorTable.get('tcp.port'):add_for_decode_as(rio)
