import { readFileSync } from 'node:fs'
import { functionCodes } from '@fleetgate/kit'
import { startParts, until } from '@fleetgate/testkit'
import t from 'tap'
import { toTree, withParents } from '../src/menus/menu.js'
import { codesOf, seededMenus } from '../src/menus/seededMenus.js'
import { type Failure, person, refresh, startAuthFor, tokensOf } from './support.js'

const parts = await startParts(t)
const api = await startAuthFor(t, parts)
await api.register(person('admin'))
const admin = api.as((await tokensOf(api, 'admin')).access_token)
await admin.post('/user/tenants', { ...person('tina'), tenant_id: 't2', name: 'Second' })
const tina = api.as((await tokensOf(api, 'tina')).access_token)
const ann = await addMember('ann')

interface Node {
  menu_id: string
  code: string
  type: string
  parent_id?: string
  children: Node[]
}

interface Page {
  data: { page_size: number; page_number: number; total: number; content: { user_id: string; nickname: string }[] }
}

async function addMember(name: string): Promise<string> {
  const reply = await admin.post<{ data: { user_id: string } }>('/user/members', person(name))
  if (reply.status !== 200) throw new Error(reply.text)
  return reply.body.data.user_id
}

async function roleWith(name: string, menuIds: string[], userId: string): Promise<string> {
  const reply = await admin.post<{ data: { role_id: string } }>('/user/roles', { name })
  const id = reply.body.data.role_id
  await admin.post(`/user/roles/${id}/associate-menu`, { menu_ids: menuIds })
  await admin.post(`/user/roles/${id}/associate-user`, { user_ids: [userId] })
  return id
}

async function search(body: object, session = admin): Promise<Page['data']> {
  const reply = await session.post<Page>('/user/members/search', body)
  if (reply.status !== 200) throw new Error(reply.text)
  return reply.body.data
}

async function tree(path = '/user/menus', session = admin): Promise<Node[]> {
  return (await session.get<{ data: Node[] }>(path)).body.data
}

await t.test('finds members by nickname and e-mail address, page by page', async (t) => {
  for (const name of ['berta', 'carol']) await addMember(name)
  const all = await search({})
  t.match(all, { page_size: 10, page_number: 1, total: 4 })
  t.same(
    all.content.map(({ nickname }) => nickname),
    ['carol', 'berta', 'ann', 'admin'],
    'newest first'
  )
  t.match(all.content[2], { tenant_id: 'default', user_id: ann, email: person('ann').email, created_at: /^\d{13}$/ })
  t.notOk('roles' in (all.content[2] ?? {}), 'roles are left out where there are none')
  t.match(all.content[3], { roles: [{ role_id: '1', role_name: 'super_admin' }] })
  t.match(await search({ page_number: 2, page_size: 3 }), { page_size: 3, page_number: 2, total: 4 })
  t.match(await search({ keyword: 'BERTA@' }), { total: 1, content: [{ nickname: 'berta' }] })
  t.same(await search({ keyword: '.*' }), { page_size: 0, page_number: 1, total: 0, content: [] })
  const sorted = await search({ sorts: [{ direction: 'ASC', property: 'nickname' }] })
  t.match(sorted.content[0], { nickname: 'admin' })
  t.match(await search({ sorts: [{ direction: 'ASC', property: '$where' }] }), { total: 4 })
  t.match(await search({}, tina), { total: 1, content: [{ nickname: 'tina' }] }, 'only the own tenant')
  for (const keyword of [{ $gt: '' }, 7, ['a'], 'a\u0000']) {
    t.equal((await admin.post('/user/members/search', { keyword })).status, 400)
  }
})

await t.test('edits a member, who logs in under the new address', async (t) => {
  const id = await addMember('dan')
  const change = { email: 'daniel@example.com', nickname: 'Daniel' }
  t.equal((await admin.put(`/user/members/${id}`, change)).status, 200)
  await t.rejects(tokensOf(api, 'dan'))
  const password = person('dan').password
  t.ok(await tokensOf(api, 'daniel', password))
  const taken = await admin.put<Failure>(`/user/members/${id}`, { ...change, email: 'ANN@example.com' })
  t.match([taken.status, taken.body.error_code], [409, 'user_register_email_exist'])
  for (const bad of [{}, { email: 'x' }, { ...change, email: 'no' }, { ...change, nickname: { $gt: '' } }]) {
    t.equal((await admin.put(`/user/members/${id}`, bad)).status, 400, JSON.stringify(bad))
  }
  t.equal((await admin.put('/user/members/999', change)).status, 404)
  t.equal((await tina.put(`/user/members/${id}`, { ...change, nickname: 'stolen' })).status, 404)
  t.match(await search({ keyword: 'daniel' }), { content: [{ nickname: 'Daniel' }] })
})

await t.test('resets a password and ends every token of the member', async (t) => {
  const id = await addMember('eva')
  const tokens = await tokensOf(api, 'eva')
  const eva = api.as(tokens.access_token)
  const path = `/user/members/${id}/change-password`
  t.equal((await eva.put(path, { password: 'a new password' })).status, 403)
  t.equal((await tina.put(path, { password: 'a new password' })).status, 404)
  for (const password of [undefined, '', 'short', 5, { $gt: '' }, 'x'.repeat(73)]) {
    const reply = await admin.put<Failure>(path, { password })
    t.match([reply.status, reply.body.error_message], [400, /password/], String(password))
  }
  t.equal((await admin.put(path, { password: 'a new password' })).status, 200)
  const isRefused = async () => (await eva.get('/user')).status === 401
  await until(isRefused, { what: 'the token to die', deadlineMs: 1000 })
  t.equal((await refresh(api, tokens.refresh_token)).status, 401)
  await t.rejects(tokensOf(api, 'eva'))
  t.ok(await tokensOf(api, 'eva', 'a new password'))
  t.equal((await admin.put('/user/members/999/change-password', { password: 'a new password' })).status, 404)
})

await t.test('lets members look, and change nothing', async (t) => {
  const member = api.as((await tokensOf(api, 'ann')).access_token)
  t.equal((await member.post('/user/members/search', {})).status, 200)
  t.equal((await member.put(`/user/members/${ann}`, { email: 'a@b.com', nickname: 'a' })).status, 403)
  t.equal((await member.post('/user/menus', { code: 'x', name: 'x', type: 'MENU' })).status, 403)
  t.equal((await member.put('/user/menus/1000', { name: 'x', type: 'MENU' })).status, 403)
  t.equal((await member.delete('/user/menus/1000')).status, 403)
})

await t.test('has a menu for every function code, below its page', async (t) => {
  t.same(new Set(codesOf(seededMenus.map(({ id }) => id))), new Set(functionCodes))
  t.equal(new Set(seededMenus.map(({ id }) => id)).size, seededMenus.length, 'ids are unique')
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
  t.same(
    seededMenus.filter(({ id, code }) => !readme.includes(`${id} \`${code}\``)),
    [],
    'the README names them all'
  )
  const roots = await tree()
  t.ok(roots.every(({ type }) => type === 'MENU'))
  const entity = roots.find(({ code }) => code === 'entity')
  t.same(
    entity?.children.map(({ menu_id, code }) => [menu_id, code]),
    [
      ['3000', 'entity_custom'],
      ['4000', 'entity_data']
    ]
  )
  t.match(entity?.children[1]?.children[2], { menu_id: '4003', code: 'entity_data.export', parent_id: '4000' })
  t.match(roots.find(({ code }) => code === 'job')?.children[2], { menu_id: '10003', code: 'job.run' })
})

await t.test('adds, changes and deletes menus of a tenant, and leaves those of the product alone', async (t) => {
  const add = (body: object) => admin.post<Failure & { data: { menu_id: string } }>('/user/menus', body)
  const made = await add({ code: 'reports', name: 'Reports', type: 'MENU', parent_id: null })
  const id = made.body.data.menu_id
  const child = await add({ code: 'reports.print', name: 'Print', type: 'FUNCTION', parent_id: id })
  t.match((await tree()).at(-1), { menu_id: id, code: 'reports', children: [{ code: 'reports.print', parent_id: id }] })
  t.equal((await add({ code: 'reports', name: 'again', type: 'MENU' })).status, 409)
  t.equal((await add({ code: 'job.run', name: 'seeded', type: 'MENU' })).status, 409)
  t.match((await add({ code: 'f', name: 'f', type: 'FUNCTION' })).body.error_message, /parent_id/)
  t.equal((await add({ code: 'f', name: 'f', type: 'FUNCTION', parent_id: '999' })).status, 400)
  for (const bad of [{}, { code: { $gt: '' }, name: 'x', type: 'MENU' }, { code: 'x', name: 'x', type: 'BUTTON' }]) {
    t.equal((await add(bad)).status, 400, JSON.stringify(bad))
  }
  t.equal((await admin.put(`/user/menus/${id}`, { name: 'Papers', type: 'MENU' })).status, 200)
  t.equal((await admin.put(`/user/menus/${id}`, { name: 'Papers', type: 'FUNCTION' })).status, 400)
  t.notMatch(JSON.stringify(await tree('/user/menus', tina)), /reports/)
  t.equal((await tina.put(`/user/menus/${id}`, { name: 'x', type: 'MENU' })).status, 404)
  t.equal((await tina.delete(`/user/menus/${id}`)).status, 404)
  t.equal((await admin.put('/user/menus/1001', { name: 'x', type: 'FUNCTION' })).status, 403)
  t.equal((await admin.delete('/user/menus/1001')).status, 403)
  t.equal((await admin.delete('/user/menus/999')).status, 404)

  const userId = await addMember('printer')
  const role = await roleWith('printers', [child.body.data.menu_id, id], userId)
  t.equal((await admin.delete(`/user/menus/${id}`)).status, 200)
  const left = await admin.get<{ data: Node[] }>(`/user/roles/${role}/menus`)
  t.same(
    left.body.data.map(({ code }) => code),
    ['reports.print'],
    'roles lose it, children stay'
  )
  t.match((await tree()).at(-1), { code: 'reports.print' }, 'an orphan stands at the top')
})

await t.test('shows you your roles and your menus as a tree, others flat', async (t) => {
  const id = await addMember('fay')
  const role = await roleWith('viewers', ['1001', '3001'], id)
  const fay = api.as((await tokensOf(api, 'fay')).access_token)
  const me = (await fay.get<{ data: { menus: Node[] } }>('/user')).body.data
  t.match(me, { user_id: id, is_super_admin: false, roles: [{ role_id: role, role_name: 'viewers' }] })
  const shape = (nodes: Node[]): unknown => nodes.map(({ code, children }) => [code, shape(children)])
  t.same(shape(me.menus), [
    ['dashboard', [['dashboard.view', []]]],
    ['entity', [['entity_custom', [['entity_custom.view', []]]]]]
  ])
  const flat = (await admin.get<{ data: Node[] }>(`/user/members/${id}/menus`)).body.data
  t.same(flat.map(({ code }) => code).sort(), [
    'dashboard',
    'dashboard.view',
    'entity',
    'entity_custom',
    'entity_custom.view'
  ])
  t.notOk('children' in (flat[0] ?? {}))
  t.equal((await admin.get(`/user/members/999/menus`)).status, 404)
  t.equal((await tina.get(`/user/members/${id}/menus`)).status, 404)
  const all = await tree()
  t.same((await admin.get<{ data: { menus: Node[] } }>('/user')).body.data.menus, all, 'a super admin has all')
})

await t.test('builds trees by rule, whatever the parents say', async (t) => {
  const menu = (id: string, parentId?: string) => ({ id, code: id, name: id, type: 'MENU' as const, parentId })
  const circle = [menu('a', 'b'), menu('b', 'a')]
  t.same(
    withParents(circle, ['a']).map(({ id }) => id),
    ['a', 'b']
  )
  t.same(
    withParents([menu('a'), menu('b', 'gone')], ['b', 'unknown']).map(({ id }) => id),
    ['b']
  )
  t.match(toTree([menu('b', 'gone')]), [{ id: 'b', children: [] }])
})
