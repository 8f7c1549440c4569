/*
 * remote-io: interrupts of a module reach the guest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * IRQ_RAISE is a posted store.  A load that follows it returns after the
 * interrupt was delivered: that order is a promise of the wire, and it is
 * why no test here waits.
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "libqos/pci-pc.h"
#include "remote-io-helpers.h"

#define DEMO_IRQ_STATUS 0x1c
#define DEMO_IRQ_ENABLE 0x20
#define DEMO_IRQ_RAISE 0x24
#define DEMO_IRQ_ACK 0x28

#define MESSAGE_AT 0x100000     /* guest memory that a message is sent to */

static void setup_pci(RioMachine *t, const char *module)
{
    g_autofree char *options = g_strdup_printf("--module %s,id=m0", module);

    t->server = rio_server_new("unix", options);
    rio_machine_start(t, "-machine q35", NULL, "");
    qtest_irq_intercept_in(t->qts, "ioapic");
}

static void raise_causes(RioMachine *t, uint32_t causes)
{
    qpci_io_writel(t->dev, t->bar, DEMO_IRQ_RAISE, causes);
    g_assert_cmphex(qpci_io_readl(t->dev, t->bar, DEMO_IRQ_STATUS) & causes,
                    ==, causes);
}

/* The I/O APIC's pins of PCI interrupts that are high */
static unsigned pci_pins(QTestState *qts)
{
    unsigned pins = 0;

    for (int pin = 16; pin < 24; pin++) {
        pins |= qtest_get_irq(qts, pin) ? 1u << pin : 0;
    }
    return pins;
}

static void test_intx_follows_its_cause(void)
{
    RioMachine t = { };
    unsigned pins;

    setup_pci(&t, "demo");
    g_assert_cmphex(qpci_config_readb(t.dev, PCI_INTERRUPT_PIN), ==, 1);
    raise_causes(&t, 4);
    g_assert_cmphex(pci_pins(t.qts), ==, 0);
    qpci_io_writel(t.dev, t.bar, DEMO_IRQ_ENABLE, ~0u);
    pins = pci_pins(t.qts);
    g_assert_cmphex(pins, !=, 0);
    g_assert_cmphex(pins & (pins - 1), ==, 0);
    g_assert_cmphex(qpci_config_readw(t.dev, PCI_STATUS) &
                    PCI_STATUS_INTERRUPT, !=, 0);

    raise_causes(&t, 8);
    qpci_io_writel(t.dev, t.bar, DEMO_IRQ_ACK, 4);
    g_assert_cmphex(pci_pins(t.qts), ==, pins);
    qpci_io_writel(t.dev, t.bar, DEMO_IRQ_ACK, 8);
    g_assert_cmphex(pci_pins(t.qts), ==, 0);
    rio_machine_stop(&t);
}

static void test_intx_can_be_disabled(void)
{
    RioMachine t = { };
    uint16_t command;

    setup_pci(&t, "demo");
    qpci_io_writel(t.dev, t.bar, DEMO_IRQ_ENABLE, ~0u);
    command = qpci_config_readw(t.dev, PCI_COMMAND);
    qpci_config_writew(t.dev, PCI_COMMAND,
                       command | PCI_COMMAND_INTX_DISABLE);
    raise_causes(&t, 1);
    g_assert_cmphex(pci_pins(t.qts), ==, 0);
    qpci_config_writew(t.dev, PCI_COMMAND, command);
    g_assert_cmphex(pci_pins(t.qts), !=, 0);
    rio_machine_stop(&t);
}

static void test_reset_drops_the_line(void)
{
    RioMachine t = { };

    setup_pci(&t, "demo");
    qpci_io_writel(t.dev, t.bar, DEMO_IRQ_ENABLE, ~0u);
    raise_causes(&t, 1);
    g_assert_cmphex(pci_pins(t.qts), !=, 0);
    qtest_system_reset(t.qts);
    g_assert_cmphex(pci_pins(t.qts), ==, 0);
    qpci_device_enable(t.dev);
    g_assert_cmphex(qpci_io_readl(t.dev, t.bar, DEMO_IRQ_STATUS), ==, 0);
    g_assert_cmphex(qpci_io_readl(t.dev, t.bar, DEMO_IRQ_ENABLE), ==, 0);
    rio_machine_stop(&t);
}

static void test_isa_line_follows_its_cause(const void *irq)
{
    RioMachine t = { };
    int pin = GPOINTER_TO_INT(irq);

    t.server = rio_server_new("unix", "--module demo,id=m0,bus=isa");
    t.qts = rio_qemu("-machine pc -device remote-io-isa,id=d0,server=%s,"
                     "module=m0,irq=%d", t.server->address, pin);
    qtest_irq_intercept_in(t.qts, "ioapic");
    qtest_outl(t.qts, 0x200 + DEMO_IRQ_ENABLE, 1);
    qtest_outl(t.qts, 0x200 + DEMO_IRQ_RAISE, 1);
    g_assert_cmphex(qtest_inl(t.qts, 0x200 + DEMO_IRQ_STATUS), ==, 1);
    g_assert_true(qtest_get_irq(t.qts, pin));
    qtest_outl(t.qts, 0x200 + DEMO_IRQ_ACK, 1);
    g_assert_false(qtest_get_irq(t.qts, pin));
    rio_machine_stop(&t);
}

static void test_msi_is_sent_once_per_cause(void)
{
    RioMachine t = { };
    uint8_t cap;

    setup_pci(&t, "demo,msix=0");
    cap = qpci_find_capability(t.dev, PCI_CAP_ID_MSI, 0);
    g_assert_cmphex(cap, !=, 0);
    qpci_config_writel(t.dev, cap + PCI_MSI_ADDRESS_LO, MESSAGE_AT);
    qpci_config_writel(t.dev, cap + PCI_MSI_ADDRESS_HI, 0);
    qpci_config_writew(t.dev, cap + PCI_MSI_DATA_64, 0x40);
    qpci_config_writew(t.dev, cap + PCI_MSI_FLAGS,
                       qpci_config_readw(t.dev, cap + PCI_MSI_FLAGS) |
                       PCI_MSI_FLAGS_ENABLE | (2 << 4));

    qpci_io_writel(t.dev, t.bar, DEMO_IRQ_ENABLE, ~0u);
    raise_causes(&t, 1 << 2);
    g_assert_cmphex(qtest_readl(t.qts, MESSAGE_AT), ==, 0x42);
    g_assert_cmphex(pci_pins(t.qts), ==, 0);

    qtest_writel(t.qts, MESSAGE_AT, 0);
    raise_causes(&t, 1 << 2);
    g_assert_cmphex(qtest_readl(t.qts, MESSAGE_AT), ==, 0);
    raise_causes(&t, 1 << 3);
    g_assert_cmphex(qtest_readl(t.qts, MESSAGE_AT), ==, 0x43);
    rio_machine_stop(&t);
}

static void msix_set(RioMachine *t, unsigned vector, uint32_t addr,
                     uint32_t data, bool masked)
{
    uint64_t at = t->dev->msix_table_off + vector * PCI_MSIX_ENTRY_SIZE;
    QPCIBar bar = t->dev->msix_table_bar;

    qpci_io_writel(t->dev, bar, at + PCI_MSIX_ENTRY_LOWER_ADDR, addr);
    qpci_io_writel(t->dev, bar, at + PCI_MSIX_ENTRY_UPPER_ADDR, 0);
    qpci_io_writel(t->dev, bar, at + PCI_MSIX_ENTRY_DATA, data);
    qpci_io_writel(t->dev, bar, at + PCI_MSIX_ENTRY_VECTOR_CTRL, masked);
}

/* The table shares BAR 0 with the registers, and costs no round trip */
static void test_msix_vectors_are_their_own(void)
{
    RioMachine t = { };
    uint64_t trips;

    setup_pci(&t, "demo,msi=0");
    qpci_msix_enable(t.dev);
    t.bar = t.dev->msix_table_bar;
    trips = rio_stat(t.qts, "d0", "accesses");
    for (unsigned vector = 0; vector < 4; vector++) {
        msix_set(&t, vector, MESSAGE_AT + vector * 4, 0x1000 + vector, false);
    }
    g_assert_cmpuint(rio_stat(t.qts, "d0", "accesses"), ==, trips);
    qpci_io_writel(t.dev, t.bar, DEMO_IRQ_ENABLE, ~0u);
    raise_causes(&t, 0x5);
    g_assert_cmphex(qtest_readl(t.qts, MESSAGE_AT), ==, 0x1000);
    g_assert_cmphex(qtest_readl(t.qts, MESSAGE_AT + 4), ==, 0);
    g_assert_cmphex(qtest_readl(t.qts, MESSAGE_AT + 8), ==, 0x1002);
    g_assert_cmphex(pci_pins(t.qts), ==, 0);
    rio_machine_stop(&t);
}

/* What comes while a vector is masked is pending, and sent when it is not */
static void test_msix_masked_is_pending(void)
{
    RioMachine t = { };

    setup_pci(&t, "demo,msi=0");
    qpci_msix_enable(t.dev);
    t.bar = t.dev->msix_table_bar;
    msix_set(&t, 1, MESSAGE_AT, 0x77, true);
    qpci_io_writel(t.dev, t.bar, DEMO_IRQ_ENABLE, ~0u);
    raise_causes(&t, 2);
    g_assert_cmphex(qtest_readl(t.qts, MESSAGE_AT), ==, 0);
    g_assert_true(qpci_msix_pending(t.dev, 1));
    msix_set(&t, 1, MESSAGE_AT, 0x77, false);
    g_assert_cmphex(qtest_readl(t.qts, MESSAGE_AT), ==, 0x77);
    g_assert_false(qpci_msix_pending(t.dev, 1));
    rio_machine_stop(&t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/remote-io/irq/intx-follows-its-cause",
                   test_intx_follows_its_cause);
    qtest_add_func("/remote-io/irq/intx-can-be-disabled",
                   test_intx_can_be_disabled);
    qtest_add_func("/remote-io/irq/reset-drops-the-line",
                   test_reset_drops_the_line);
    qtest_add_data_func("/remote-io/irq/isa-line-follows-its-cause/5",
                        GINT_TO_POINTER(5), test_isa_line_follows_its_cause);
    qtest_add_data_func("/remote-io/irq/isa-line-follows-its-cause/11",
                        GINT_TO_POINTER(11), test_isa_line_follows_its_cause);
    qtest_add_func("/remote-io/irq/msi-is-sent-once-per-cause",
                   test_msi_is_sent_once_per_cause);
    qtest_add_func("/remote-io/irq/msix-vectors-are-their-own",
                   test_msix_vectors_are_their_own);
    qtest_add_func("/remote-io/irq/msix-masked-is-pending",
                   test_msix_masked_is_pending);
    return g_test_run();
}
