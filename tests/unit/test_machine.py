"""Which processor a machine has, from what ``/proc/cpuinfo`` holds on different ones."""

from __future__ import annotations

import pytest

from benchkit.machine import cpu_model, describe_machine
from benchkit.verdict.environments import machine_differences
from builders.documents import environment

X86 = "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 85\nmodel name\t: {}\nstepping\t: 7\n\n"
ARM = (
    "processor\t: {}\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
    "CPU variant\t: 0x3\nCPU part\t: {}\nCPU revision\t: 1\n\n"
)


@pytest.mark.parametrize(
    ("cpuinfo", "otherwise", "name"),
    [
        (
            2 * X86.format("Intel(R) Xeon(R) Platinum 8272CL CPU @ 2.60GHz"),
            "",
            "Intel(R) Xeon(R) Platinum 8272CL CPU @ 2.60GHz",
        ),
        (X86.format("AMD EPYC 7763 64-Core Processor"), "", "AMD EPYC 7763 64-Core Processor"),
        (
            X86.format("Intel(R) Xeon(R) Processor"),
            "",
            "Intel(R) Xeon(R) Processor (vendor_id GenuineIntel, family 6, model 85, stepping 7)",
        ),
        (
            "processor\t: 0\ncpu\t\t: POWER9 (architected), altivec supported\n",
            "",
            "POWER9 (architected), altivec supported",
        ),
        ("processor\t: 0\nhart\t: 1\nisa\t: rv64imafdc\nuarch\t: sifive,u74-mc\n", "", "sifive,u74-mc"),
        ("", "Apple M2 Pro", "Apple M2 Pro"),
        (
            X86.format("QEMU Virtual CPU version 2.5+"),
            "",
            "QEMU Virtual CPU version 2.5+ (vendor_id GenuineIntel, family 6, model 85, stepping 7)",
        ),
        (
            "model name\t: ARMv7 Processor rev 3 (v7l)\n" + ARM.format(0, "0xd08"),
            "",
            "ARMv7 Processor rev 3 (v7l) (implementer 0x41, part 0xd08, variant 0x3, revision 1)",
        ),
    ],
)
def test_processors_that_have_a_name(cpuinfo: str, otherwise: str, name: str) -> None:
    assert cpu_model(cpuinfo, otherwise) == name


def test_an_arm_processor_without_a_name_is_told_by_its_ids() -> None:
    name = cpu_model(ARM.format(0, "0xd0c") + ARM.format(1, "0xd0c"), "")
    assert name.endswith("(implementer 0x41, part 0xd0c, variant 0x3, revision 1)")
    assert name != cpu_model(ARM.format(0, "0xd40"), "")


def test_a_processor_with_two_kinds_of_cores_has_both_in_its_name() -> None:
    assert "part 0xd03 0xd08" in cpu_model(ARM.format(0, "0xd03") + ARM.format(4, "0xd08"), "")


@pytest.mark.parametrize("cpuinfo", ["", "processor\t: 0\n", "model name\t: \n"])
def test_two_machines_of_which_nothing_is_known_are_not_the_same(cpuinfo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    for host in ("runner-1", "runner-1", "runner-2"):
        monkeypatch.setattr("benchkit.machine.platform.node", lambda host=host: host)
        names.append(cpu_model(cpuinfo, ""))
    assert names[0] == names[1] != names[2]
    assert "runner" not in "".join(names)


@pytest.mark.parametrize("name", ["aarch64", "arm64", "", "unknown", "x86_64"])
def test_older_documents_without_a_processor_are_never_of_the_same_machine(name: str) -> None:
    one = environment().machine.model_copy(update={"cpu_model": name})
    assert machine_differences(one, one)[0].startswith("CPU not known")


def test_this_machine_is_the_same_as_itself() -> None:
    one, other = describe_machine({"hey": "1"}), describe_machine({"hey": "1"})
    assert machine_differences(one, other) == []
    assert one.engines == {"hey": "1"}
