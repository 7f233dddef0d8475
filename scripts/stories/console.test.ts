/** The console, as a person uses it: its own modules on a document, before the whole product with a machine. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { startStackFor, temporaryFolder, until } from '@fleetgate/testkit'
import { Window } from 'happy-dom'
import t from 'tap'
import { createMachine, waitOnline } from '../src/demo/machines.js'

t.setTimeout(240_000)

const stack = await startStackFor(t)
const person = { name: 'ada@example.com', nickname: 'ada', password: 'Abcd1234!' }
const window = new Window({ url: `${stack.url}/console` })
t.teardown(() => window.happyDOM.close())
const { document } = window
document.body.innerHTML = '<div id="console"></div>'
/** What the console takes from its browser; requests are made by Node's own fetch. */
const browser = {
  ...{ window, document, location: window.location, history: window.history, sessionStorage: window.sessionStorage },
  ...{ FormData: window.FormData, File: window.File, self: window },
  scrollTo: () => undefined,
  addEventListener: window.addEventListener.bind(window),
  removeEventListener: window.removeEventListener.bind(window)
}
const ownFetch = globalThis.fetch
const fetchHere = (path: string, init?: RequestInit) => ownFetch(new URL(path, stack.url), init)
for (const [name, value] of Object.entries({ ...browser, fetch: fetchHere })) {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true })
}

const shown = () => document.body.textContent ?? ''
/** Waits for what the page is to show; says in vain what it shows instead. */
async function look<T>(what: string, condition: () => T | undefined): Promise<T> {
  try {
    return await until(condition, { what, deadlineMs: 60_000 })
  } catch (cause) {
    throw new Error(`${what} is not on the page: ${shown()}`, { cause })
  }
}

const see = (text: string | RegExp) => look(String(text), () => shown().match(text) ?? undefined)

const find = (selector: string, text = '') =>
  look(`${selector} ${text}`, () =>
    [...document.querySelectorAll(selector)].find((one) => one.textContent?.includes(text))
  )

async function press(selector: string, text?: string): Promise<void> {
  ;(await find(selector, text)).dispatchEvent(
    new window.MouseEvent('click', { bubbles: true, cancelable: true, button: 0 })
  )
}

async function fill(fields: Record<string, string>): Promise<void> {
  for (const [name, value] of Object.entries(fields)) {
    const field = (await find(`[name=${name}]`)) as unknown as { value: string; dispatchEvent(event: unknown): void }
    field.value = value
    field.dispatchEvent(new window.Event('change', { bubbles: true }))
  }
}

const send = async () =>
  (await find('main form')).dispatchEvent(new window.Event('submit', { bubbles: true, cancelable: true }))

await import(new URL('../../../gateway/console/dist/main.js', import.meta.url).href)

t.test('the first user registers, and a wrong password is told later', async (t) => {
  await see('Nobody is registered yet')
  await fill(person)
  await send()
  await see('machines online')
  await press('button', 'Sign out')
  await see('Name or e-mail address')
  await fill({ name: person.name, password: 'wrong' })
  await send()
  await find('[role=alert]')
  t.notOk(window.sessionStorage.getItem('fleetgate.token'), 'nobody is signed in')
  await fill({ password: person.password })
  await send()
  await see('machines online')
})

t.test('a stored file goes to a group from one form, and each step is seen', async (t) => {
  const session = stack.api.as(await stack.api.login(person.name, person.password))
  const plan = { name: 'demo-till', role: 'STORE', folder: temporaryFolder(t), mqttUrl: stack.mqttUrl } as const
  const machine = await createMachine({ session, tenantId: 'default' }, plan)
  machine.start()
  t.teardown(() => machine.stop())
  await waitOnline(session, [machine])
  const content = 'prices of today'
  const { sha256 } = (await session.send<{ sha256: string }>('POST', '/v1/files?fileName=prices.txt', content)).body

  await press('nav a', 'Groups')
  await fill({ groupName: 'all tills', type: '1' })
  await fill({ queryProperty: 'status', queryOperation: 'EQ', queryValue: 'ONLINE' })
  await send()
  await press('main a', 'all tills')
  await see('till')

  await press('nav a', 'Jobs')
  await press('a.button', 'Send and run')
  await see('all tills')
  await fill({ jobName: 'prices' })
  await send()
  await see('choose a group or a machine')
  const box = (await find('input[name=groups]')) as unknown as { checked: boolean }
  box.checked = true
  await send()
  await see('choose a file or a program')
  await find(`option[value="${sha256}"]`)
  await fill({ sha256, target: 'prices.txt', cycle: '2' })
  await fill({ executionTime: 'at noon' })
  await send()
  await find('[role=alert]', 'executionTime')
  for (const path of ['/v1/tasks', '/v1/jobs']) t.match((await session.get(path)).body, { total: 0 }, 'nothing is left')
  await fill({ cycle: 'now' })
  await send()
  await see('1 succeeded, 0 failed')
  t.equal(readFileSync(join(machine.root, 'prices.txt'), 'utf8'), content)

  await press('main table a', 'till')
  await see('SEND_FILE')
  await see(/received .*prices\.txt/)
})

t.test('a machine is disabled after a second press, and a refusal of a service is shown', async (t) => {
  await press('nav a', 'Machines')
  await press('main table a', 'till')
  await press('button', 'Disable')
  await find('button', 'Enable')
  await press('button', 'Delete')
  await find('button', 'Really delete?')
  t.ok(shown().includes('disabled'))
  await fill({ groupName: 'no such group' })
  const [form] = [...document.querySelectorAll('form')].filter((one) => one.textContent?.includes('Put in'))
  form?.dispatchEvent(new window.Event('submit', { bubbles: true, cancelable: true }))
  await see('there is no group no such group')
})

t.test('the other pages show what is there', async (t) => {
  for (const [name, text] of [
    ['Files', 'prices.txt'],
    ['Devices', 'till'],
    ['Broker', 'Connected'],
    ['Clusters', 'no clusters'],
    ['Audit', 'user.register'],
    ['Runs', 'prices']
  ] as const) {
    await press('nav a', name)
    await see(text)
    t.equal(document.querySelector('h1')?.textContent, name)
    t.equal(document.querySelector('[role=alert]')?.textContent, undefined)
  }
  await press('button', 'Sign out')
  await see('Name or e-mail address')
})
